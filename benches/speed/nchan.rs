//! nchan: an event server in C, as a module of nginx, for comparison. It is optional.

use std::{fs, net::SocketAddr, path::PathBuf};

use super::support::{
    servers::{ChildProcess, free_port, start, wait_for_port},
    unique,
};

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// An nginx with nchan.
pub struct Nchan {
    folder: PathBuf,
    running: ChildProcess,
    pub address: SocketAddr,
}

impl Drop for Nchan {
    fn drop(&mut self) {
        self.running.terminate();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Nchan {
    /// Reports whether nchan is installed on this machine.
    pub fn is_installed() -> bool {
        fs::exists(MODULE).unwrap_or_default()
    }

    /// Starts nginx with one worker for each core.
    pub fn start() -> Self {
        let (folder, port) = (std::env::temp_dir().join(unique("nchan")), free_port());
        fs::create_dir(&folder).expect("a folder");
        let (path, config) = (folder.display(), folder.join("nginx.conf"));
        let text = format!(
            "load_module {MODULE};\nworker_processes auto;\ndaemon off;\npid {path}/pid;\nerror_log {path}/log;\n\
             events {{ worker_connections 60000; }}\n\
             http {{\n  access_log off;\n  nchan_shared_memory_size 512m;\n\
               client_body_temp_path {path}/b; proxy_temp_path {path}/p; fastcgi_temp_path {path}/f;\n\
               uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;\n\
               keepalive_requests 1000000;\n\
               server {{\n    listen 127.0.0.1:{port} backlog=4096;\n\
                 location = /publish {{ nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 100; }}\n\
                 location = /events {{ nchan_subscriber eventsource; nchan_channel_id bench; }}\n  }}\n}}\n"
        );
        fs::write(&config, text).expect("a file");
        let config = config.to_str().expect("a path");
        let running = start("nginx", &["-c", config, "-g", user()]);
        wait_for_port(port);
        Self { folder, running, address: ([127, 0, 0, 1], port).into() }
    }

    /// Returns the id of the master process.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }
}

/// Runs the workers as root if this process is root. Workers of another user would hide their CPU time and memory.
fn user() -> &'static str {
    let is_root = fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("\nUid:\t0\t"));
    if is_root { "user root;" } else { "" }
}
