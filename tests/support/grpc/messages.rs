//! Messages of the proto, copied, so that a changed field number fails the tests.

use std::collections::HashMap;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct SubscribeRequest {
    #[prost(string, tag = "1")]
    pub stream_id: String,
    #[prost(string, tag = "20")]
    pub after: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Participant {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub identity: String,
    #[prost(int64, tag = "3")]
    pub joined_at: i64,
    #[prost(int64, tag = "4")]
    pub left_at: i64,
    #[prost(map = "string, string", tag = "5")]
    pub metadata: HashMap<String, String>,
    #[prost(string, tag = "20")]
    pub name: String,
    #[prost(string, tag = "21")]
    pub role: String,
    #[prost(string, tag = "22")]
    pub state: String,
    #[prost(string, tag = "23")]
    pub sid: String,
    #[prost(message, repeated, tag = "24")]
    pub tracks: Vec<Track>,
    #[prost(map = "string, string", tag = "25")]
    pub attributes: HashMap<String, String>,
    #[prost(string, tag = "26")]
    pub kind: String,
    #[prost(string, tag = "27")]
    pub metadata_text: String,
    #[prost(int64, tag = "28")]
    pub hand_raised_at: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Track {
    #[prost(string, tag = "1")]
    pub sid: String,
    #[prost(string, tag = "2")]
    pub source: String,
    #[prost(bool, tag = "3")]
    pub muted: bool,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Counts {
    #[prost(int32, tag = "1")]
    pub hosts: i32,
    #[prost(int32, tag = "2")]
    pub viewers: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Update {
    #[prost(string, tag = "1")]
    pub stream_id: String,
    #[prost(int32, tag = "2")]
    pub status: i32,
    #[prost(message, repeated, tag = "3")]
    pub participants: Vec<Participant>,
    #[prost(int64, tag = "4")]
    pub timestamp: i64,
    #[prost(int32, tag = "5")]
    pub update_type: i32,
    #[prost(map = "string, string", tag = "6")]
    pub metadata: HashMap<String, String>,
    #[prost(string, tag = "20")]
    pub cursor: String,
    #[prost(uint64, tag = "21")]
    pub seq: u64,
    #[prost(int32, tag = "22")]
    pub participant_count: i32,
    #[prost(message, optional, tag = "23")]
    pub reset: Option<Reset>,
    #[prost(bool, tag = "25")]
    pub participants_truncated: bool,
    #[prost(int32, tag = "26")]
    pub audience: i32,
    #[prost(message, optional, tag = "27")]
    pub participant_counts: Option<Counts>,
    #[prost(bool, tag = "28")]
    pub removed: bool,
    #[prost(message, optional, tag = "29")]
    pub participant: Option<Participant>,
    #[prost(bool, tag = "30")]
    pub backstage: bool,
    #[prost(int64, tag = "31")]
    pub live_at: i64,
    #[prost(string, tag = "32")]
    pub by: String,
    #[prost(string, tag = "33")]
    pub identity: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct State {
    #[prost(string, tag = "1")]
    pub stream_id: String,
    #[prost(int32, tag = "2")]
    pub status: i32,
    #[prost(message, repeated, tag = "3")]
    pub participants: Vec<Participant>,
    #[prost(int64, tag = "4")]
    pub started_at: i64,
    #[prost(int64, tag = "5")]
    pub updated_at: i64,
    #[prost(int64, tag = "6")]
    pub stopped_at: i64,
    #[prost(map = "string, string", tag = "7")]
    pub metadata: HashMap<String, String>,
    #[prost(uint64, tag = "20")]
    pub version: u64,
    #[prost(int32, tag = "21")]
    pub participant_count: i32,
    #[prost(bool, tag = "22")]
    pub participants_truncated: bool,
    #[prost(int32, tag = "23")]
    pub audience: i32,
    #[prost(message, optional, tag = "24")]
    pub participant_counts: Option<Counts>,
    #[prost(bool, tag = "25")]
    pub backstage: bool,
    #[prost(int64, tag = "26")]
    pub live_at: i64,
}

/// `StreamUpdatedData`.
#[derive(Clone, PartialEq, Message)]
pub struct Updated {
    #[prost(int32, tag = "1")]
    pub previous_status: i32,
    #[prost(int32, tag = "2")]
    pub current_status: i32,
    #[prost(map = "string, string", tag = "3")]
    pub metadata: HashMap<String, String>,
}

/// `StreamCreatedData`, `StreamStoppedData`, `StreamLiveStartedData` and `StreamLiveStoppedData`.
#[derive(Clone, PartialEq, Message)]
pub struct RoomData {
    #[prost(string, tag = "1")]
    pub room_name: String,
}

/// `ParticipantJoinedData`, `ParticipantLeftData` and `ParticipantUpdatedData`.
#[derive(Clone, PartialEq, Message)]
pub struct ParticipantData {
    #[prost(message, optional, tag = "1")]
    pub participant: Option<Participant>,
    #[prost(string, tag = "20")]
    pub reason: String,
}

/// `ParticipantCountUpdatedData`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct CountData {
    #[prost(message, optional, tag = "1")]
    pub participant_counts: Option<Counts>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Reset {
    #[prost(string, tag = "1")]
    pub reason: String,
    #[prost(string, tag = "2")]
    pub cursor: String,
    #[prost(message, repeated, tag = "3")]
    pub snapshot: Vec<State>,
    #[prost(uint32, tag = "20")]
    pub part: u32,
    #[prost(uint32, tag = "21")]
    pub parts: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct StreamEvent {
    #[prost(int32, tag = "1")]
    pub event_type: i32,
    #[prost(string, tag = "2")]
    pub stream_id: String,
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
    #[prost(message, optional, tag = "4")]
    pub created: Option<RoomData>,
    #[prost(message, optional, tag = "5")]
    pub updated: Option<Updated>,
    #[prost(message, optional, tag = "6")]
    pub stopped: Option<RoomData>,
    #[prost(message, optional, tag = "7")]
    pub joined: Option<ParticipantData>,
    #[prost(message, optional, tag = "8")]
    pub left: Option<ParticipantData>,
    #[prost(string, tag = "20")]
    pub cursor: String,
    #[prost(uint64, tag = "21")]
    pub seq: u64,
    #[prost(message, optional, tag = "22")]
    pub participant_updated: Option<ParticipantData>,
    #[prost(message, optional, tag = "23")]
    pub reset: Option<Reset>,
    #[prost(int32, tag = "24")]
    pub audience: i32,
    #[prost(message, optional, tag = "25")]
    pub participant_counts: Option<Counts>,
    #[prost(bool, tag = "26")]
    pub removed: bool,
    #[prost(message, optional, tag = "27")]
    pub count_updated: Option<CountData>,
    #[prost(message, optional, tag = "28")]
    pub live_started: Option<RoomData>,
    #[prost(message, optional, tag = "29")]
    pub live_stopped: Option<RoomData>,
    #[prost(bool, tag = "30")]
    pub backstage: bool,
    #[prost(int64, tag = "31")]
    pub live_at: i64,
    #[prost(string, tag = "32")]
    pub by: String,
    #[prost(message, optional, tag = "33")]
    pub blocked: Option<RoomData>,
    #[prost(message, optional, tag = "34")]
    pub unblocked: Option<RoomData>,
}
