//! nginx with its RTMP module: the server that encoders push to, and a target of broadcasts.

use std::{fs, path::PathBuf};

use super::{
    ports::{free_port, wait_for_port},
    process::{ChildProcess, start},
};
use crate::support::{eventually, unique};

/// An RTMP server with the applications `live`, whose pushes the workers admit, and `cdn`, which takes every push.
pub struct RtmpServer {
    pub port: u16,
    http: u16,
    folder: PathBuf,
    running: Option<ChildProcess>,
}

impl Drop for RtmpServer {
    fn drop(&mut self) {
        self.running.take();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl RtmpServer {
    /// Chooses ports, which LiveKit and the workers need before the server starts.
    pub fn prepare() -> Self {
        let folder = std::env::temp_dir().join(unique("rtmp"));
        fs::create_dir(&folder).unwrap();
        Self { port: free_port(), http: free_port(), folder, running: None }
    }

    /// Starts the server. It asks the workers at this address about each push.
    pub fn start(&mut self, workers: &str) {
        let config = self.folder.join("nginx.conf");
        fs::write(&config, self.config(workers)).unwrap();
        let prefix = self.folder.to_str().unwrap();
        self.running = Some(start("nginx", &["-p", prefix, "-c", config.to_str().unwrap()]));
        wait_for_port(self.port);
        wait_for_port(self.http);
    }

    /// One process, because SIGKILL of a master process would leave its workers behind.
    fn config(&self, workers: &str) -> String {
        let Self { port, http, .. } = self;
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {name};\n"))
            .concat();
        format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\n\
             daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr emerg;\n\
             events {{ worker_connections 256; }}\n\
             rtmp {{ access_log off; server {{ listen 127.0.0.1:{port};\n\
             application live {{ live on; on_publish {workers}/on_publish;\n\
             on_publish_done {workers}/on_publish_done; }}\n\
             application cdn {{ live on; }} }} }}\n\
             http {{ access_log off;\n{temporary}server {{ listen 127.0.0.1:{http};\n\
             location /stat {{ rtmp_stat all; }}\nlocation /control {{ rtmp_control all; }} }} }}\n"
        )
    }

    /// URL of the application that encoders push to.
    pub fn ingest(&self) -> String {
        format!("rtmp://127.0.0.1:{}/live", self.port)
    }

    /// URL of a target of broadcasts.
    pub fn target(&self, key: &str) -> String {
        format!("rtmp://127.0.0.1:{}/cdn/{key}", self.port)
    }

    /// URL of the control module.
    pub fn control(&self) -> String {
        format!("http://127.0.0.1:{}/control", self.http)
    }

    /// Waits until a stream with this key is pushed to the server, or no more.
    pub async fn wait_until_pushed(&self, key: &str, pushed: bool) {
        eventually(if pushed { "a push" } else { "the end of a push" }, || async {
            (self.is_pushed(key).await == pushed).then_some(())
        })
        .await;
    }

    async fn is_pushed(&self, key: &str) -> bool {
        let statistics = reqwest::get(format!("http://127.0.0.1:{}/stat", self.http)).await.unwrap();
        let statistics = statistics.text().await.unwrap();
        let streams = statistics.split("<stream>").skip(1);
        let name = format!("<name>{key}</name>");
        streams.into_iter().any(|stream| stream.contains(&name) && stream.contains("<publishing/>"))
    }
}
