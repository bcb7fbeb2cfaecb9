//! Certificates for TLS tests, generated with openssl.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::unique;

/// A temporary folder of certificates, which is deleted on drop.
pub struct Certificates(PathBuf);

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn openssl(args: &[&str], folder: &Path) {
    let output = Command::new("openssl").args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Certificates {
    /// Generates two certificate authorities, `ca` and `other`, and the certificates `server` and `client`, signed by
    /// `ca`.
    pub fn generate() -> Self {
        let folder = std::env::temp_dir().join(unique("certificates"));
        fs::create_dir(&folder).unwrap();
        for name in ["ca", "other"] {
            let subject = format!("/CN={name}");
            let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
            let args = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", &subject];
            openssl(&[&args[..], &["-keyout", &key, "-out", &certificate]].concat(), &folder);
        }
        fs::write(folder.join("san"), "subjectAltName=IP:127.0.0.1,DNS:localhost").unwrap();
        for name in ["server", "client"] {
            let subject = format!("/CN={name}");
            let [key, request, certificate] = ["key", "csr", "pem"].map(|end| format!("{name}.{end}"));
            let args = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject];
            openssl(&[&args[..], &["-keyout", &key, "-out", &request]].concat(), &folder);
            let args = ["x509", "-req", "-days", "2", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
            openssl(
                &[&args[..], &["-extfile", "san", "-in", &request, "-out", &certificate]].concat(),
                &folder,
            );
        }
        Self(folder)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}
