// The call of the service that gives the picture shown, for a command line.

const CURL = "curl --fail-with-body -H 'Accept: image/jpeg'";

// What names a face in a command: its photo, or for an invented one a seed.
function calls({ a, result }) {
  const photo = `-F image=@photo.jpg${a.index ? ` -F face=${a.index}` : ""}`;
  if (!result) return a.seed === undefined ? `${photo} {}/embed` : `-F seed=${a.seed} {}/generate`;
  const { settings } = result;
  switch (result.tool) {
    case "change": return `${photo} -F directions=${settings.directions} {}/edit`;
    case "blend": return result.film
      ? "-H 'Accept: image/webp' -F image=@photo.jpg -F image=@second.jpg -F steps=24 {}/morph"
      : `-F image=@photo.jpg -F image=@second.jpg -F lam=${settings.share} {}/morph`;
    case "colour":
      return `-F gray=@photo.jpg -F color=@second.jpg -F keep_luminance=${settings.keep} -F strength=${settings.strength} {}/colorize`;
    case "merge": return "-F identity=@photo.jpg -F attribute=@second.jpg {}/merge";
    default: return "";
  }
}

export function commandOf(snapshot, { origin }) {
  if (snapshot.result?.tool === "refine") {
    return `curl --fail-with-body -F image=@photo.jpg -F steps=${snapshot.result.settings.steps} ${origin}/refine`;
  }
  const words = calls(snapshot).replace("{}", origin);
  const film = words.startsWith("-H");
  return `${film ? "curl --fail-with-body" : CURL} ${words} -o face.${film ? "webp" : "jpg"}`;
}
