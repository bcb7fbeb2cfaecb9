//! Whether a LiveKit deployment is one that the service can work with, for the `check` command.

use livekit_api::services::room::CreateRoomOptions;

use super::{RoomsError, livekit::LiveKitRooms};
use crate::{diagnosis::Finding, domain::RoomName};

const LIVEKIT: &str = "LiveKit";
/// How long LiveKit keeps the room of a check that dies before it deletes it, in seconds.
const EMPTY_TIMEOUT: u32 = 30;

impl LiveKitRooms {
    /// Makes a room and looks at the answer. The room is there afterwards if all is well.
    pub async fn diagnose(&self, room: &RoomName) -> Vec<Finding> {
        let (name, options) = (
            room.to_string(),
            CreateRoomOptions { empty_timeout: EMPTY_TIMEOUT, ..CreateRoomOptions::default() },
        );
        let made = self.call("create_room", |client| async move { client.create_room(&name, options).await });
        match made.await {
            Ok(made) => vec![
                Finding::fine(LIVEKIT, "answers, and takes the key and the secret"),
                clock(made.creation_time_ms, made.creation_time),
            ],
            Err(error) => vec![Finding::wrong(LIVEKIT, in_words(&error))],
        }
    }
}

/// LiveKit says when it made the room, in seconds and, in newer versions, in milliseconds.
fn clock(millis: i64, seconds: i64) -> Finding {
    let now = chrono::Utc::now().timestamp_millis();
    // Half a second is what a time in whole seconds is off by on average.
    Finding::of_clock(LIVEKIT, if millis > 0 { millis } else { seconds * 1_000 + 500 } - now)
}

fn in_words(error: &RoomsError) -> String {
    match error {
        RoomsError::Unavailable(words) => {
            format!("does not answer: is LIVEKIT_URL right? ({words})")
        }
        RoomsError::Refused(words)
            if words.contains("unauthenticated") || words.contains("permission_denied") =>
        {
            format!("refuses LIVEKIT_API_KEY or LIVEKIT_API_SECRET ({words})")
        }
        RoomsError::Refused(words) => format!("refuses: {words}"),
    }
}
