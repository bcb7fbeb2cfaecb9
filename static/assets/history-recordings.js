// The recordings of a past stream, in their last known states.

import { find, make } from "./dom.js";
import { formatDateTime } from "./format.js";
import { describeSource, describeState } from "./recording-text.js";

export function showRecordings({ recordings, recordingsTruncated = false }) {
  find("#recordings").hidden = recordings.length === 0;
  find("#recordings tbody").replaceChildren(...recordings.map(makeRow));
  find("#recordings-truncated").hidden = !recordingsTruncated;
}

function makeRow(recording) {
  const { createdAt, startedAt, error, path, files } = recording;
  const time = startedAt ?? createdAt;
  const paths = files.length > 0 ? files.map((file) => file.path) : [path ?? ""];
  return make("tr", {},
    make("td", {}, make("time", { datetime: time }, formatDateTime(time))),
    make("td", {}, describeSource(recording) ?? "whole room"),
    make("td", {}, describeState(recording), ...(error ? [make("p", { class: "error" }, error)] : [])),
    make("td", { class: "path" }, ...paths.map((one) => make("p", {}, one))),
  );
}
