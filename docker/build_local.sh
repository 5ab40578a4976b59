#!/usr/bin/env bash
# Builds images where neither a Docker engine nor an image registry can be reached.
#
#   docker/build_local.sh app train valkey prometheus
#
# It needs root, Debian's buildah and debootstrap, a Debian mirror, a package registry, and for each
# large image three times its size on disk while it is built. BUILD_FLAGS goes to buildah: mount
# there what pip needs to reach the registry, such as "--volume /etc/pip.conf:/etc/pip.conf:ro".
set -euo pipefail
cd "$(dirname "$0")/.."

base=localhost/python:3.11-slim-bookworm
read -ra flags <<<"${BUILD_FLAGS:-}"
export BUILDAH_ISOLATION=chroot

make_base() {
    local root container
    root=$(mktemp --directory)
    # shellcheck disable=SC2064
    trap "rm -rf '$root'" EXIT
    # What the official image has: Python, its headers, and the means to install packages.
    debootstrap --variant=minbase \
        --include=python3,python3-venv,python3-pip,python3-dev,ca-certificates bookworm "$root"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    container=$(buildah from scratch)
    buildah copy --quiet "$container" "$root" /
    buildah commit --quiet --rm "$container" "$base"
}

build() {
    buildah bud --layers "${flags[@]}" --build-arg BASE_IMAGE="$base" "$@" .
}

buildah inspect --type image "$base" >/dev/null 2>&1 || make_base
for target in "$@"; do
    case $target in
    app | app-weights) build --file docker/Dockerfile --target "$target" --tag localhost/wplus:local ;;
    train) build --file docker/Dockerfile --target train --tag localhost/wplus-train:local ;;
    valkey | prometheus)
        build --file docker/Dockerfile.standins --target "$target" --tag "localhost/$target:local"
        ;;
    *)
        echo "image must be app, app-weights, train, valkey or prometheus, got $target" >&2
        exit 2
        ;;
    esac
done
