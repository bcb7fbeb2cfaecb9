//! An S3-compatible store: versitygw on a folder of its own.

use std::{fs, path::PathBuf};

use super::{
    ports::{free_port, wait_for_port},
    process::{ChildProcess, run, start},
};
use crate::support::{instance::signal, unique};

/// A store with one bucket. Everybody may read its objects by their URL, also pages of other origins.
pub struct ObjectStore {
    port: u16,
    folder: PathBuf,
    running: ChildProcess,
}

/// Name of the bucket.
pub const BUCKET: &str = "recordings";
/// Access key of the store.
pub const STORE_KEY: &str = "store-key";
/// Secret of [`STORE_KEY`].
pub const STORE_SECRET: &str = "store-secret-0123456789";

impl Drop for ObjectStore {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Path of the program. `scripts/versitygw` builds it if `VERSITYGW` is not set.
fn program() -> String {
    let build = || run(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/versitygw"), &[], "");
    std::env::var("VERSITYGW").unwrap_or_else(|_| build().trim().to_owned())
}

impl ObjectStore {
    pub fn start() -> Self {
        let (folder, port) = (std::env::temp_dir().join(unique("store")), free_port());
        fs::create_dir_all(folder.join("files").join(BUCKET)).unwrap();
        fs::create_dir(folder.join("attributes")).unwrap();
        let address = format!("127.0.0.1:{port}");
        let [files, attributes] =
            ["files", "attributes"].map(|name| folder.join(name).to_string_lossy().into_owned());
        let mut arguments = vec!["--access", STORE_KEY, "--secret", STORE_SECRET, "--port", &address];
        arguments.extend(["--quiet", "--cors-allow-origin", "*"]);
        // Not as extended attributes, which some file systems do not have.
        arguments.extend(["posix", "--sidecar", &attributes, &files]);
        let running = start(&program(), &arguments);
        wait_for_port(port);
        let store = Self { port, folder, running };
        store.let_everybody_read();
        store
    }

    /// URL of the service, without a bucket.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lets uploads hang, until the store is dropped.
    pub fn pause(&self) {
        signal(self.running.pid(), "STOP");
    }

    /// URL of an object.
    pub fn url_of(&self, path: &str) -> String {
        format!("{}/{BUCKET}/{path}", self.endpoint())
    }

    fn let_everybody_read(&self) {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":["s3:GetObject"],
            "Resource":["arn:aws:s3:::{BUCKET}/*"]}}]}}"#
        );
        let (url, user) =
            (format!("{}/{BUCKET}?policy=", self.endpoint()), format!("{STORE_KEY}:{STORE_SECRET}"));
        let mut arguments =
            vec!["--silent", "--show-error", "--fail", "--request", "PUT", "--data-binary", "@-"];
        arguments.extend(["--header", "content-type: application/json"]);
        arguments.extend(["--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
        arguments.extend(["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user, &url]);
        run("curl", &arguments, &policy);
    }
}
