//! Responses about one stream.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{self, ETag},
    },
};
use serde::Serialize;

use crate::{
    access::{Action, Caller},
    domain::StreamView,
    http::{
        extract::{IfNoneMatch, version_tag},
        request_record::Executed,
    },
    store::SharedState,
};

/// Starts a response about a stream, with the headers that every such response has.
///
/// `ETag` is the stream's version. `Last-Event-ID` is the cursor after which a feed continues without a gap. Clients
/// send it back in the header of the same name.
fn head(status: StatusCode, view: &StreamView) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header(ETag(version_tag(view.stream.version)));
    response.insert_header(("last-event-id", view.cursor.to_string()));
    response
}

/// Reports whether the caller may see the participants. The grant `roomCreate` creates and stops any stream, but reads
/// none.
fn may_read(caller: &Caller, view: &StreamView) -> bool {
    caller.is_allowed_in(Action::Read, &view.stream.room_name)
}

/// Builds the response to a change, the first one and its replays: the stream, with what the caller may see of it. 201
/// is the status of a new stream.
pub(super) fn changed(status: StatusCode, caller: &Caller, view: &SharedState<StreamView>) -> HttpResponse {
    let id = view.stream.id;
    let is_new = status == StatusCode::CREATED;
    let mut response = head(status, view);
    if is_new {
        response.insert_header((header::LOCATION, format!("/streams/{id}")));
    }
    // The empty list of a new stream names no participant, so every creator gets it.
    let with_participants = may_read(caller, view) || is_new && view.participants.is_empty();
    let response = if with_participants { response.json(view) } else { response.json(&view.stream) };
    Executed::on(id, status).attach_to(response)
}

/// Builds the response to a read: 304 if the client has the stream's version, or else a body made from the view.
pub(super) fn read<T: Serialize>(
    stored: &IfNoneMatch,
    view: &StreamView,
    body: impl FnOnce() -> T,
) -> HttpResponse {
    if stored.matches(&version_tag(view.stream.version)) {
        return head(StatusCode::NOT_MODIFIED, view).finish();
    }
    head(StatusCode::OK, view).json(body())
}
