//! Paths of recorded files in the deployment's storage.

use std::{fmt, str::FromStr};

use chrono::DateTime;
use serde::Serialize;

use super::{JobId, RoomName, StreamId, Timestamp};

/// Maximum length of a path that a request chooses, in bytes. With the prefix it is below S3's limit of 1,024.
const MAX_PATH_BYTES: usize = 512;

/// Maximum length of a part between two `/`, in bytes. With the suffixes of LiveKit's segments and temporary files it
/// is below the 255 bytes that file systems accept.
const MAX_PART_BYTES: usize = 200;

/// Maximum length of a path that LiveKit reports, in bytes: S3's limit. Other tools choose any path, and documents have
/// it in messages of bounded size.
const MAX_REPORTED_BYTES: usize = 1_024;

/// Suffix of playlists.
const PLAYLIST_SUFFIX: &str = ".m3u8";

/// What takes the place of characters and dots that a path must not have.
const REPLACEMENT: &str = "_";

/// Path of a file in the deployment's storage, relative to its prefix, separated by `/`. LiveKit may report a file
/// outside the prefix, whose path is absolute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct MediaPath(String);

impl MediaPath {
    /// Takes a path that LiveKit reports, or one that was stored. Cuts it at 1,024 bytes.
    pub fn reported(mut path: String) -> Self {
        path.truncate(path.floor_char_boundary(MAX_REPORTED_BYTES));
        Self(path)
    }

    /// Returns the path of a recording whose request chooses none: another one for each job.
    pub fn of_recording(stream: StreamId, job: JobId) -> Self {
        Self(format!("{stream}/{job}.mp4"))
    }

    /// Returns the path of a playlist whose request chooses none: in another folder for each job.
    pub fn of_playlist(stream: StreamId, job: JobId) -> Self {
        Self(format!("{stream}/{job}/index.m3u8"))
    }

    /// Returns the path of the live playlist that belongs to a playlist. LiveKit wants both in one folder.
    #[must_use]
    pub fn live_playlist(&self) -> Self {
        let name = self.0.strip_suffix(PLAYLIST_SUFFIX).unwrap_or(&self.0);
        Self(format!("{name}.live{PLAYLIST_SUFFIX}"))
    }

    /// Returns the path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MediaPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Folder of all files of the deployment: a prefix of the bucket, or a folder of the worker's disk. Empty for a bucket
/// as a whole, else with a `/` at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoragePrefix(String);

impl StoragePrefix {
    /// Makes a prefix of a folder, with or without `/` at its end.
    pub fn of(folder: &str) -> Self {
        let folder = folder.trim_end_matches('/');
        Self(if folder.is_empty() { String::new() } else { format!("{folder}/") })
    }

    /// Returns the path by which LiveKit knows a file.
    pub fn absolute(&self, path: &MediaPath) -> String {
        format!("{}{path}", self.0)
    }

    /// Returns the path relative to this prefix; the path itself if it is outside.
    #[must_use]
    pub fn relative(&self, path: MediaPath) -> MediaPath {
        match path.0.strip_prefix(&self.0) {
            Some(relative) => MediaPath(relative.to_owned()),
            None => path,
        }
    }
}

/// Text that is no path inside the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The text is empty or too long, or has a part that is.
    #[error(
        "must be at most {MAX_PATH_BYTES} bytes, with parts of 1 to {MAX_PART_BYTES} bytes between the slashes, also \
         when {{stream}}, {{room}} and {{time}} are replaced"
    )]
    Length,
    /// The text has a part that begins with a dot, such as `..`.
    #[error("must have no part that begins with a dot")]
    Dot,
    /// The text begins with `/` or a scheme, or has a backslash.
    #[error("must be relative, without a scheme and without backslashes")]
    Absolute,
    /// The text has a control character.
    #[error("must have no control characters")]
    Control,
    /// The text has a brace that belongs to no known placeholder.
    #[error("may have the placeholders {{stream}}, {{room}} and {{time}}, and no other braces")]
    Placeholder,
}

/// Values of the placeholders.
#[derive(Clone, Copy, Debug)]
pub struct PathValues<'a> {
    /// Value of `{stream}`.
    pub stream: StreamId,
    /// Value of `{room}`.
    pub room: &'a RoomName,
    /// Value of `{time}`, in UTC with seconds. An attempt of the same request must have the same.
    pub time: Timestamp,
}

/// Path that a request chooses, with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate(String);

const PLACEHOLDERS: [&str; 3] = ["{stream}", "{room}", "{time}"];

impl FromStr for PathTemplate {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let plain = PLACEHOLDERS.iter().fold(text.to_owned(), |text, name| text.replace(name, REPLACEMENT));
        if plain.contains(['{', '}']) {
            return Err(PathError::Placeholder);
        }
        check(&plain)?;
        Ok(Self(text.to_owned()))
    }
}

impl PathTemplate {
    /// Returns the path of an MP4 file. Appends `.mp4` to other names, as LiveKit does.
    ///
    /// # Errors
    /// The path is too long with the values.
    pub fn file(&self, values: &PathValues<'_>) -> Result<MediaPath, PathError> {
        self.resolve(values, ".mp4")
    }

    /// Returns the path of a playlist. Appends `.m3u8` to other names, as LiveKit does.
    ///
    /// # Errors
    /// The path is too long with the values.
    pub fn playlist(&self, values: &PathValues<'_>) -> Result<MediaPath, PathError> {
        self.resolve(values, PLAYLIST_SUFFIX)
    }

    fn resolve(&self, values: &PathValues<'_>, suffix: &str) -> Result<MediaPath, PathError> {
        let room = values.room.as_str().replace(['/', '\\', ':', '{', '}'], REPLACEMENT);
        let time = DateTime::from_timestamp_millis(values.time.as_millis()).unwrap_or_default();
        let time = time.format("%Y-%m-%dT%H%M%S").to_string();
        // The room comes last, because its name is not searched for placeholders then. It has no braces.
        let path = self.0.replace("{stream}", &values.stream.to_string());
        let path = path.replace("{time}", &time).replace("{room}", &room);
        let parts: Vec<_> = path.split('/').map(without_leading_dot).collect();
        let mut path = parts.join("/");
        if !path.ends_with(suffix) {
            path.push_str(suffix);
        }
        check(&path)?;
        Ok(MediaPath(path))
    }
}

/// A name of a room may begin with dots.
fn without_leading_dot(part: &str) -> String {
    part.strip_prefix('.').map_or_else(|| part.to_owned(), |rest| format!("{REPLACEMENT}{rest}"))
}

/// Checks a path without placeholders.
fn check(path: &str) -> Result<(), PathError> {
    if path.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    if path.starts_with('/') || path.contains('\\') || has_scheme(path) {
        return Err(PathError::Absolute);
    }
    let has_valid_length = |part: &str| (1..=MAX_PART_BYTES).contains(&part.len());
    if path.len() > MAX_PATH_BYTES || !path.split('/').all(has_valid_length) {
        return Err(PathError::Length);
    }
    if path.split('/').any(|part| part.starts_with('.')) {
        return Err(PathError::Dot);
    }
    Ok(())
}

fn has_scheme(path: &str) -> bool {
    let is_of_scheme = |char: char| char.is_ascii_alphanumeric() || "+-.".contains(char);
    path.split_once(':').is_some_and(|(scheme, _)| scheme.chars().all(is_of_scheme))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = "019ac000-0000-7000-8000-000000000001";

    fn file(text: &str, room: &str) -> Result<String, PathError> {
        let room = RoomName::parse(room).unwrap();
        let time = Timestamp::from_millis(1_768_384_800_123);
        let values = PathValues { stream: STREAM.parse().unwrap(), room: &room, time };
        text.parse::<PathTemplate>()?.file(&values).map(|path| path.to_string())
    }

    #[test]
    fn placeholders_are_replaced_and_the_suffix_is_added_once() {
        for (text, path) in [
            ("concert/part 1.mp4", "concert/part 1.mp4".to_owned()),
            ("é {room}", "é a_b.mp4".to_owned()),
            ("{stream}/{time}.ogg", format!("{STREAM}/2026-01-14T100000.ogg.mp4")),
            ("{room}{room}.mp4", "a_ba_b.mp4".to_owned()),
        ] {
            assert_eq!(file(text, "a/b"), Ok(path));
        }
        let values = PathValues {
            stream: STREAM.parse().unwrap(),
            room: &RoomName::parse("{time}").unwrap(),
            time: Timestamp::default(),
        };
        let playlist = "{room}".parse::<PathTemplate>().unwrap().playlist(&values).unwrap();
        assert_eq!(playlist.as_str(), "_time_.m3u8");
    }

    #[test]
    fn reported_path_is_bounded() {
        let path = MediaPath::reported("é".repeat(MAX_REPORTED_BYTES));
        assert_eq!(path.as_str(), "é".repeat(MAX_REPORTED_BYTES / 2));
    }

    #[test]
    fn path_outside_the_storage_is_refused() {
        for (text, error) in [
            ("", PathError::Length),
            ("a//b", PathError::Length),
            ("a/", PathError::Length),
            ("/a", PathError::Absolute),
            ("a\\b", PathError::Absolute),
            ("s3://bucket/a", PathError::Absolute),
            ("C:a", PathError::Absolute),
            ("..", PathError::Dot),
            ("a/../b", PathError::Dot),
            ("./a", PathError::Dot),
            ("a\nb", PathError::Control),
            ("{job}", PathError::Placeholder),
            ("{room", PathError::Placeholder),
            ("{{room}}", PathError::Placeholder),
            ("{room_name}", PathError::Placeholder),
        ] {
            assert_eq!(file(text, "room"), Err(error), "{text:?}");
        }
        assert_eq!(file(&"a".repeat(MAX_PART_BYTES + 1), "room"), Err(PathError::Length));
        assert_eq!(file(&"a/".repeat(MAX_PATH_BYTES), "room"), Err(PathError::Length));
        assert_eq!(file("{room}", &"r".repeat(MAX_PART_BYTES)), Err(PathError::Length));
    }

    proptest! {
        #[test]
        fn path_never_leaves_the_prefix(
            text in "([a-z./\\\\:~%{} \\PC]|\\{room\\}|\\{time\\}|\\{stream\\}|\\.\\.|//){0,12}",
            room in "([a-z./\\\\:{}\\PC]|\\.\\.|\\{time\\}|\\{stream\\}){1,8}",
        ) {
            let Ok(path) = file(&text, &room) else { return Ok(()) };
            prop_assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')), "{path}");
            prop_assert!(!path.contains(['\\', '{', '}']) && !path.contains("://"), "{path}");
            prop_assert!(!path.chars().any(char::is_control), "{path}");
            prop_assert!(path.ends_with(".mp4") && path.len() <= MAX_PATH_BYTES, "{path}");
            let prefix = StoragePrefix::of("folder/");
            let path = MediaPath::reported(path);
            prop_assert_eq!(prefix.relative(MediaPath::reported(prefix.absolute(&path))), path);
        }

        #[test]
        fn plain_names_are_taken_as_they_are(text in "[a-zA-Z0-9_-][a-zA-Z0-9 _.-]{0,40}(/[a-z0-9é _-]{1,20}){0,4}") {
            prop_assert_eq!(file(&text, "room"), Ok(format!("{text}.mp4")));
        }
    }
}
