//! Loading a file as it is at this moment, whatever becomes of it.
#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use vitald_sdk::abi;

use super::{LoadError, whole};

/// Most bytes of a name that the system takes, which shows it to people: memfd_create(2).
const LONGEST_NAME: usize = 249;

/// Loads a library for good, and gives its symbol.
pub(super) fn load(file: &Path) -> Result<*const abi::Export, LoadError> {
    let not_read = |err: io::Error| LoadError::Read { file: file.to_owned(), reason: err.to_string() };
    let bytes = read(file).map_err(not_read)?;
    whole::check(&bytes).map_err(|reason| LoadError::Load { file: file.to_owned(), reason })?;
    let memory = keep(&bytes, file.file_name().unwrap_or_default()).map_err(|err| {
        let reason = format!("the system has no memory to load it from (memfd_create): {err}");
        LoadError::Load { file: file.to_owned(), reason }
    })?;
    drop(bytes);
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    // SAFETY: what a library does when it is loaded is its own affair: who loads it trusts it with that.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
    let library = library
        .map_err(|err| LoadError::Load { file: file.to_owned(), reason: in_own_words(&err, &path, file) })?;
    // SAFETY: it is read as what it is only after its first bytes were.
    let symbol = unsafe { library.get::<*const abi::Export>(abi::SYMBOL.as_bytes()) };
    let symbol = symbol.map(|symbol| symbol.as_raw_ptr().cast_const().cast());
    // It stays, and so does the number of its descriptor: the loader takes files of one name for one library.
    std::mem::forget(library);
    let _ = memory.into_raw_fd();
    symbol.map_err(|_| LoadError::NotOurs { file: file.to_owned() })
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(file)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts bytes where nobody can change them any more.
fn keep(bytes: &[u8], name: &OsStr) -> io::Result<OwnedFd> {
    let name = name.as_encoded_bytes();
    let name = &name[..name.len().min(LONGEST_NAME)];
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = match memfd_create(name, flags | MemfdFlags::EXEC) {
        // Before Linux 6.3, all of them could be executed.
        Err(Errno::INVAL) => memfd_create(name, flags),
        made => made,
    };
    let mut memory = File::from(memory?);
    memory.write_all(bytes)?;
    fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(memory.into())
}

/// The loader's message, with the file's name for that of its copy.
fn in_own_words(err: &libloading::Error, path: &str, file: &Path) -> String {
    let said = match std::error::Error::source(err) {
        Some(source) => source.to_string(),
        None => err.to_string(),
    };
    let own = format!("{path}: ");
    let said = said.strip_prefix(&own).unwrap_or(&said);
    said.replace(path, &file.display().to_string())
}
