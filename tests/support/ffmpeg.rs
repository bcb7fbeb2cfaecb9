//! ffmpeg as an encoder that pushes, and as a player that checks what arrives.

use std::{collections::HashSet, process::Stdio};

use serde_json::Value;
use tokio::process::Command;

use super::{
    servers::{ChildProcess, start},
    within,
};

/// Pushes a moving picture (H.264, 320×240) with a tone (AAC) to an RTMP URL until it is dropped or refused.
pub fn push_to(url: &str) -> ChildProcess {
    let mut arguments = vec!["-nostdin", "-loglevel", "error", "-re"];
    arguments.extend(["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=15"]);
    arguments.extend(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
    arguments.extend(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15"]);
    arguments.extend(["-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", "-f", "flv", url]);
    start("ffmpeg", &arguments)
}

/// Decodes so many frames of the video at a URL. Panics unless the picture moves.
pub async fn assert_moves(url: &str, frames: usize) {
    let count = frames.to_string();
    let hashes = output(
        "ffmpeg",
        &[
            "-nostdin",
            "-loglevel",
            "error",
            "-i",
            url,
            "-map",
            "0:v:0",
            "-frames:v",
            &count,
            "-f",
            "framemd5",
            "-",
        ],
    )
    .await;
    let frame = |line: &str| (!line.starts_with('#')).then(|| line.rsplit(',').next().unwrap().to_owned());
    let decoded: Vec<_> = hashes.lines().filter_map(frame).collect();
    let different: HashSet<_> = decoded.iter().collect();
    assert_eq!(decoded.len(), frames, "{url}");
    assert!(different.len() * 2 > frames, "{} different frames of {frames} at {url}", different.len());
}

/// What ffprobe says about a file or URL: `format` and `streams`.
pub async fn probe(url: &str) -> Value {
    let arguments = ["-v", "error", "-show_format", "-show_streams", "-of", "json", url];
    serde_json::from_str(&output("ffprobe", &arguments).await).unwrap()
}

/// Runs a program and returns its output. Panics if it fails or takes too long.
async fn output(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = within(program, command.output()).await.unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
