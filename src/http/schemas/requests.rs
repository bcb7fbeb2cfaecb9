//! What callers send.

use std::collections::HashMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::{Role, StreamStatus};

/// A stream to be. `name` and `roomName` are one field.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"roomName": "my-stream", "metadata": {"title": "My Stream"}}))]
pub struct NewStream {
    /// 1 to 256 bytes of UTF-8 without control characters. A live stream that has it is the answer; without one, a name is made up.
    #[schema(max_length = 256)]
    pub room_name: Option<String>,
    #[schema(max_length = 256)]
    pub name: Option<String>,
    /// At most 60,000 bytes.
    pub metadata: Option<HashMap<String, Value>>,
    /// How many may be active at once; 0 for no limit.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub max_participants: Option<u64>,
    /// Seconds that it may be empty, instead of the configured time.
    #[schema(minimum = 1, maximum = 86_400)]
    pub empty_timeout: Option<u64>,
}

/// A change of a stream.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"metadata": {"title": "Another title"}}))]
pub struct StreamPatch {
    /// A JSON Merge Patch (RFC 7396): null takes a key away.
    pub metadata: Option<HashMap<String, Value>>,
    /// `stopped` is the same as DELETE. Any other is refused unless it is the present one.
    pub status: Option<StreamStatus>,
    /// The version that the stream must be at, as `If-Match` says it.
    #[schema(minimum = 1)]
    pub version: Option<u64>,
}

/// Who joins. `identity`, `userId` and `participantName` are one field, which is required.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"identity": "ann", "name": "Ann", "role": "host"}))]
pub struct Joining {
    /// 1 to 256 bytes of UTF-8 without control characters.
    #[schema(min_length = 1, max_length = 256)]
    pub identity: Option<String>,
    #[schema(min_length = 1, max_length = 256)]
    pub user_id: Option<String>,
    #[schema(min_length = 1, max_length = 256)]
    pub participant_name: Option<String>,
    /// What they are called.
    #[schema(min_length = 1, max_length = 256)]
    pub name: Option<String>,
    /// `host` unless set.
    pub role: Option<Role>,
    /// At most 60,000 bytes. It goes into the token as JSON text.
    pub metadata: Option<HashMap<String, Value>>,
    /// LiveKit's attributes, at most 60,000 bytes in keys and values together. They go into the token.
    pub attributes: Option<HashMap<String, String>>,
}

/// Who leaves. `identity`, `userId` and `participantName` are one field, which is required.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"identity": "ann"}))]
pub struct Leaving {
    #[schema(min_length = 1, max_length = 256)]
    pub identity: Option<String>,
    #[schema(min_length = 1, max_length = 256)]
    pub user_id: Option<String>,
    #[schema(min_length = 1, max_length = 256)]
    pub participant_name: Option<String>,
}
