//! Handlers of a stream's blocks.

mod requests;

use self::requests::{BlockPath, ListBlocks, NewBlock};
use crate::{
    access::Action,
    admission::RequestContext,
    domain::{Block, ErrorCode, StreamId},
    http::{
        app_state::AppState,
        extract::{IfNoneMatch, JsonBody, Query, Retry, StreamPath},
        list_page,
        problem::Problem,
        request_record::{Details, Executed},
        schemas,
        streams::run_to_end,
    },
    orchestrator::{BlockRequest, BlockTerms},
    store::Guard,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};

/// Errors of [`block`] besides those of every change.
pub const BLOCK_ERRORS: &[ErrorCode] = &[ErrorCode::StreamNotActive, ErrorCode::TooManyBlocks];
/// Errors of [`unblock`] besides those of every change.
pub const UNBLOCK_ERRORS: &[ErrorCode] = &[ErrorCode::StreamNotActive];

/// `GET /streams/{id}/blocks`
///
/// Lists a stream's blocks, oldest first. A stream has at most 1,000; a stream that has ended has none.
#[utoipa::path(
    get, path = "/streams/{id}/blocks", operation_id = "listBlocks", tag = "participants",
    params(StreamPath, ListBlocks, IfNoneMatch),
    responses(
        (status = 200, description = "A page of blocks.", body = Vec<schemas::Block>,
            headers(("link"), ("etag"))),
        (status = 304, description = "The client has this page."),
    )
)]
pub async fn list(
    api: Data<AppState>,
    context: RequestContext,
    request: HttpRequest,
    path: Path<StreamPath>,
    stored: IfNoneMatch,
    Query(ListBlocks(page)): Query<ListBlocks>,
) -> Result<HttpResponse, Problem> {
    let caller = &context.caller;
    let blocks = api.orchestrator.blocks(caller, &path.id, page.limit, page.cursor.as_deref()).await?;
    list_page::respond(&request, &stored, &blocks)
}

/// `PUT /streams/{id}/blocks/{identity}`
///
/// Blocks an identity, also one that has never joined: it is removed from the room, gets no token, and does not read or
/// follow the stream with a join token. A repetition replaces reason and expiry, without an event.
#[utoipa::path(
    put, path = "/streams/{id}/blocks/{identity}", operation_id = "blockParticipant", tag = "participants",
    params(BlockPath),
    request_body = NewBlock,
    responses((status = 200, description = "The block.", body = schemas::Block))
)]
pub async fn block(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<BlockPath>,
    JsonBody(NewBlock { reason, expires_in }): JsonBody<NewBlock>,
) -> Result<HttpResponse, Problem> {
    let (caller, identity) = (context.caller.clone(), path.new_identity()?);
    let previous = retry.previous().cloned();
    let request = BlockRequest { identity, reason, expires_in, dedup_key: retry.dedup_key(), previous };
    if let Some(Executed { stream, details: Details::Block(terms), .. }) = retry.executed() {
        let block = api.orchestrator.block_again(&caller, *stream, request, terms.clone()).await?;
        return Ok(blocked(*stream, &block));
    }
    let stream = api.orchestrator.find_reference(&caller, Action::Moderate, &retry.stream(&path.id)).await?;
    let id = stream.id;
    let block =
        run_to_end(&api, async move |orchestrator| orchestrator.block(&caller, &stream, request).await);
    Ok(blocked(id, &block.await?))
}

fn blocked(stream: StreamId, block: &Block) -> HttpResponse {
    let details = Details::Block(BlockTerms::of(block));
    Executed { details, ..Executed::on(stream, StatusCode::OK) }.attach_to(HttpResponse::Ok().json(block))
}

/// `DELETE /streams/{id}/blocks/{identity}`
///
/// Ends a block. Succeeds if the identity is not blocked.
#[utoipa::path(
    delete, path = "/streams/{id}/blocks/{identity}", operation_id = "unblockParticipant", tag = "participants",
    params(BlockPath),
    responses((status = 204, description = "The identity is not blocked."))
)]
pub async fn unblock(
    api: Data<AppState>,
    context: RequestContext,
    retry: Retry,
    path: Path<BlockPath>,
) -> Result<HttpResponse, Problem> {
    let (caller, identity, action) = (context.caller.clone(), path.identity()?, Action::Moderate);
    if let Some(executed) = retry.executed() {
        let stream = api.orchestrator.find(&caller, action, &executed.stream.to_string()).await?;
        return Ok(unblocked(stream.id));
    }
    let stream = api.orchestrator.find_reference(&caller, action, &retry.stream(&path.id)).await?;
    let guard = Guard { dedup_key: retry.dedup_key(), ..Guard::default() };
    api.orchestrator.unblock(&caller, &stream, identity, guard).await?;
    Ok(unblocked(stream.id))
}

fn unblocked(stream: StreamId) -> HttpResponse {
    Executed::on(stream, StatusCode::NO_CONTENT).attach_to(HttpResponse::NoContent().finish())
}
