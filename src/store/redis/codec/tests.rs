use super::*;

#[test]
fn stream_and_event_without_later_fields_are_read() {
    let stream = r#"{"id":"01a222ef-9af5-7493-b17a-b590941a926a","roomName":"room","roomSid":"RM_1",
        "status":"active","metadata":"{}","maxParticipants":"","idleAfter":"300000","audience":"listed","hosts":"1","viewers":"0","peak":"1",
        "createdAt":"1","startedAt":"1","updatedAt":"1","stoppedAt":"",
        "emptySince":"","lockedUntil":"","reason":"","version":"2","countEvents":"0","cursor":"1-1"}"#;
    assert_eq!(stream_from_json(stream).unwrap().uncounted, 0);
    let participant = r#"{"identity":"ann","role":"host","state":"active","joinedAt":1,
        "metadata":"{\"a\":1}","sid":"PA_1"}"#;
    let json = format!(
        r#"{{"kind":"participant_joined","cursor":"1-1","previous":"0-0","previousOfAll":"0-0","timestamp":1,
        "stream":{stream},"participant":{participant}}}"#
    );
    let read = event(json.as_bytes()).unwrap().draft.participant.unwrap();
    assert_eq!(
        (read.metadata.as_text(), read.attributes.as_text(), read.hidden),
        (r#"{"a":1}"#, "{}", false)
    );
}
