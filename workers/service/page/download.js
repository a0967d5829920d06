// Files from the service, which need the token and so cannot be mere links.

import { getBlob } from "/static/api.js";
import { element } from "/static/dom.js";

export async function download(path, name) {
  const address = URL.createObjectURL(await getBlob(path));
  const link = element("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
