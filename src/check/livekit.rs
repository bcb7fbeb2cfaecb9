//! Examination of LiveKit: address, key, secret and clock.

use super::finding::{Finding, Subject};
use crate::{
    domain::RoomName,
    rooms::{TestRoomError, livekit::LiveKitRooms},
};

/// Creates `room` and rates the answer. The room exists afterwards unless a finding is a failure.
pub(super) async fn examine(rooms: &LiveKitRooms, room: &RoomName) -> Vec<Finding> {
    match rooms.create_test_room(room).await {
        Ok(created_at) => {
            let ahead_ms = created_at.as_millis() - chrono::Utc::now().timestamp_millis();
            vec![
                Subject::LiveKit.ok("answers, and accepts the key and the secret"),
                Subject::LiveKit.clock(ahead_ms),
            ]
        }
        Err(error) => vec![Subject::LiveKit.failure(describe(&error))],
    }
}

/// Describes a failure by what to do about it.
fn describe(error: &TestRoomError) -> String {
    match error {
        TestRoomError::Unavailable(message) => format!("does not answer: is LIVEKIT_URL right? ({message})"),
        TestRoomError::Unauthorized(message) => {
            format!("refuses LIVEKIT_API_KEY or LIVEKIT_API_SECRET ({message})")
        }
        TestRoomError::Refused(message) => format!("refuses the call: {message}"),
    }
}
