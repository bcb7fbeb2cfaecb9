//! Generates the gRPC code with protox, so that no protoc has to be installed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;
use prost_types::{FileDescriptorSet, field_descriptor_proto::Type};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    // The pages are embedded.
    println!("cargo:rerun-if-changed=static");
    let descriptors = protox::compile(["livestream/orchestrator/v1/streams.proto"], ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("streams.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(false)
        .bytes(".livestream.orchestrator.v1.StreamUpdate.participants")
        .compile_fds(with_encoded_participants(descriptors))?;
    Ok(())
}

/// Gives `StreamUpdate.participants` the type `repeated bytes`, which is the same on the wire. Participants are then
/// encoded once, and all updates share their bytes.
fn with_encoded_participants(mut descriptors: FileDescriptorSet) -> FileDescriptorSet {
    let messages = descriptors.file.iter_mut().flat_map(|file| &mut file.message_type);
    let updates = messages.filter(|message| message.name() == "StreamUpdate");
    for field in updates.flat_map(|message| &mut message.field) {
        if field.name() == "participants" {
            field.set_type(Type::Bytes);
            field.type_name = None;
        }
    }
    descriptors
}
