//! A short-lived room with which the command `check` tests a LiveKit deployment.

use livekit_api::services::room::CreateRoomOptions;

use super::{RoomsError, livekit::LiveKitRooms};
use crate::domain::{RoomName, Timestamp};

/// Seconds after which LiveKit deletes a test room that a terminated `check` leaves behind.
const EMPTY_TIMEOUT: u32 = 30;

/// Failure of `LiveKitRooms::create_test_room`, with LiveKit's message.
pub enum TestRoomError {
    /// LiveKit does not answer.
    Unavailable(String),
    /// LiveKit refuses the key, the secret or the permissions of the call's token.
    Unauthorized(String),
    /// LiveKit refuses the call for another reason.
    Refused(String),
}

impl From<RoomsError> for TestRoomError {
    fn from(error: RoomsError) -> Self {
        match error {
            RoomsError::Unavailable(message) => Self::Unavailable(message),
            RoomsError::Refused(message)
                if message.contains("unauthenticated") || message.contains("permission_denied") =>
            {
                Self::Unauthorized(message)
            }
            RoomsError::Refused(message) => Self::Refused(message),
        }
    }
}

impl LiveKitRooms {
    /// Creates a room and returns its creation time by LiveKit's clock.
    ///
    /// # Errors
    /// [`TestRoomError`], within the timeout of all LiveKit calls.
    pub(crate) async fn create_test_room(&self, room: &RoomName) -> Result<Timestamp, TestRoomError> {
        let name = room.to_string();
        let options = CreateRoomOptions { empty_timeout: EMPTY_TIMEOUT, ..CreateRoomOptions::default() };
        let create =
            self.call("create_room", |client| async move { client.create_room(&name, options).await });
        let created = create.await?;
        let millis = match created.creation_time_ms {
            // Older versions report whole seconds, which are half a second late on average.
            ..=0 => created.creation_time * 1_000 + 500,
            millis => millis,
        };
        Ok(Timestamp::from_millis(millis))
    }
}
