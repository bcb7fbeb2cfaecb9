//! nginx with the shipped configuration in front of test instances. Only the four files in `site/` belong to the test.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    feed_client::Address,
    instance::Instance,
    servers::{ChildProcess, free_port, start_with_children, wait_for_port},
    unique,
};

pub struct Nginx {
    pub http: u16,
    /// Port of HTTP/2 over TLS, with a self-signed certificate.
    pub https: u16,
    grpc: u16,
    folder: PathBuf,
    /// Directives of the HTTP ports besides their addresses.
    http_options: String,
    running: Option<ChildProcess>,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGKILL would leave the worker processes behind.
        if let Some(mut running) = self.running.take() {
            running.terminate();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Nginx {
    /// Chooses ports and writes the configuration without starting nginx.
    pub fn prepare() -> Self {
        let folder = std::env::temp_dir().join(unique("nginx"));
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("nginx");
        for part in ["", "site", "run"] {
            fs::create_dir(folder.join(part)).unwrap();
        }
        for entry in fs::read_dir(shipped).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
            }
        }
        let (http, https, grpc) = (free_port(), free_port(), free_port());
        let nginx = Self { http, https, grpc, folder, http_options: String::new(), running: None };
        nginx.make_certificate();
        nginx
    }

    /// Replaces the shipped limit of requests of one address, which is larger than a test can reach.
    pub fn with_limit_of_address(self, limit: usize) -> Self {
        let path = self.folder.join("nginx.conf");
        let shipped = fs::read_to_string(&path).unwrap();
        let changed =
            shipped.replace("limit_conn lso_clients 2000;", &format!("limit_conn lso_clients {limit};"));
        assert_ne!(shipped, changed, "the limit in nginx.conf");
        fs::write(path, changed).unwrap();
        self
    }

    /// Adds directives to `site/listen.conf`.
    pub fn with_http_options(mut self, http_options: &str) -> Self {
        http_options.clone_into(&mut self.http_options);
        self
    }

    fn make_certificate(&self) {
        let path = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        let (key, certificate) = (path("key.pem"), path("certificate.pem"));
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-keyout", &key, "-out", &certificate])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let example = fs::read_to_string(self.folder.join("tls.conf.example")).unwrap();
        let tls = example
            .replace("/etc/nginx/tls/fullchain.pem", &certificate)
            .replace("/etc/nginx/tls/privkey.pem", &key);
        fs::write(self.folder.join("tls.conf"), tls).unwrap();
    }

    /// Starts nginx in front of these instances.
    pub fn start(&mut self, instances: &[Instance]) {
        self.start_with_addresses(&instances.iter().map(Instance::address).collect::<Vec<_>>());
    }

    /// Starts nginx with these addresses as upstream servers.
    pub fn start_with_addresses(&mut self, instances: &[Address]) {
        let site = |name: &str, text: String| fs::write(self.folder.join("site").join(name), text).unwrap();
        let listen = format!(
            "listen 127.0.0.1:{};\nlisten 127.0.0.1:{} ssl http2;\ninclude tls.conf;\n{}\n",
            self.http, self.https, self.http_options
        );
        site("listen.conf", listen);
        site("listen_grpc.conf", format!("listen 127.0.0.1:{} http2;\n", self.grpc));
        let servers = |pick: fn(&Address) -> &str| {
            let line = |address: &Address| {
                let host = pick(address).strip_prefix("http://").unwrap().to_owned();
                format!("server {host} max_fails=2 fail_timeout=1s;\n")
            };
            instances.iter().map(line).collect::<String>()
        };
        site("http_servers.conf", servers(|address| &address.http));
        site("grpc_servers.conf", servers(|address| &address.grpc));
        self.restart();
    }

    /// Starts nginx, after stopping it if it runs.
    pub fn restart(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.terminate();
        }
        let (run, config) = (self.folder.join("run/"), self.folder.join("nginx.conf"));
        let args = ["-p", run.to_str().unwrap(), "-c", config.to_str().unwrap(), "-g", "daemon off;"];
        self.running =
            Some(start_with_children("nginx", &args, &File::create(self.access_log_path()).unwrap()));
        wait_for_port(self.http);
        wait_for_port(self.grpc);
    }

    fn access_log_path(&self) -> PathBuf {
        self.folder.join("access.log")
    }

    /// Returns the access log until now.
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.access_log_path()).unwrap()
    }

    pub fn address(&self) -> Address {
        Address {
            http: format!("http://127.0.0.1:{}", self.http),
            grpc: format!("http://127.0.0.1:{}", self.grpc),
        }
    }
}
