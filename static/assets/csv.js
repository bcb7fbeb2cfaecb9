// Downloads of the history as CSV files.

import { nextPageUrl, request } from "./api.js";
import { make } from "./dom.js";

// Downloads all pages of a list into one file with one line of column names.
export async function downloadCsv(path, fileName) {
  const parts = [];
  for (let next = path; next; ) {
    const { body: text, response } = await request("GET", next, undefined, { accept: "text/csv" });
    parts.push(parts.length > 0 ? text.slice(text.indexOf("\r\n") + 2) : text);
    next = nextPageUrl(response);
  }
  const url = URL.createObjectURL(new Blob(parts, { type: "text/csv" }));
  make("a", { href: url, download: fileName }).click();
  // The browser has taken the file by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
