//! Files that are replaced as a whole, where the disk is full, too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// Files are padded to this: what a small one takes on the disk in any case.
const BLOCK: usize = 4096;

/// By so much at least a text may grow and still fit in the room of the one before.
const SLACK: usize = 1024;

/// Replaces a file by another text, atomically; blanks follow it. `durable`: it outlives a crash of the machine.
///
/// On a full disk the room is used that was [set aside](set_room_aside). Without that, the file itself is
/// written over: a death in the midst of it may tear it, but what it says would be untrue for certain.
///
/// # Errors
/// There is no such room either; whatever else the system refuses.
pub(crate) fn replace(path: &Path, text: &[u8], durable: bool) -> io::Result<()> {
    let mut padded = text.to_vec();
    padded.resize(room_for(text), b' ');
    let draft = path.with_extension("json.new");
    if let Err(err) = write_draft(&draft, &padded, durable).and_then(|()| fs::rename(&draft, path)) {
        // On a full disk a draft is only in the way.
        let _ = fs::remove_file(&draft);
        let is_full = matches!(err.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if !is_full || !(exchange(path, text)? || overwrite(path, text)?) {
            return Err(err);
        }
    }
    if durable && let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Sets room aside for a text that is to replace that of a file, and may be longer than this one. Better than
/// nothing if there is none by now.
pub(crate) fn set_room_aside(path: &Path, text: &[u8]) {
    let wanted = room_for(text);
    if let Ok(mut room) = open(&room_of(path), true)
        && length(&room).is_ok_and(|there| there < wanted)
    {
        let _ = room.write_all(&vec![b' '; wanted]);
    }
}

/// Removes a file and the room that was set aside for it.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(room_of(path)) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    fs::remove_file(path)
}

/// Writes a file that is to be renamed; mode 0600.
pub(crate) fn write_draft(path: &Path, text: &[u8], durable: bool) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    if durable { file.sync_data() } else { Ok(()) }
}

fn room_of(path: &Path) -> PathBuf {
    path.with_extension("json.room")
}

fn room_for(text: &[u8]) -> usize {
    (text.len() + SLACK).next_multiple_of(BLOCK)
}

/// Writes into the room that was set aside, and has the two files change their names: nothing is freed that
/// somebody else might take, and what was replaced is the room for the next.
fn exchange(path: &Path, text: &[u8]) -> io::Result<bool> {
    let room = room_of(path);
    if !overwrite(&room, text)? {
        return Ok(false);
    }
    match renameat_with(CWD, &room, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        // There has been none yet.
        Err(Errno::NOENT) => fs::rename(&room, path).map(|()| true),
        // Not every file system can.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
        Err(err) => Err(err.into()),
    }
}

/// Writes over a file that is at least as long, for which a full disk has room where it keeps files in place; no
/// longer one is no error. Synced, since its name may be on the disk already.
fn overwrite(path: &Path, text: &[u8]) -> io::Result<bool> {
    let mut file = match open(path, false) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let length = length(&file)?;
    if length < text.len() {
        return Ok(false);
    }
    // Blanks after its end mean nothing in JSON.
    let mut padded = text.to_vec();
    padded.resize(length, b' ');
    file.write_all(&padded)?;
    file.sync_data()?;
    Ok(true)
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().write(true).create(create).truncate(false).mode(0o600).open(path)
}

fn length(file: &File) -> io::Result<usize> {
    Ok(usize::try_from(file.metadata()?.len()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file holds, and how long it is.
    fn held(path: &Path) -> (String, usize) {
        let text = fs::read_to_string(path).unwrap();
        (text.trim_end().to_owned(), text.len())
    }

    #[test]
    fn what_is_written_into_room_set_aside_asks_for_no_more() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("web.json");
        replace(&path, b"{}", true).unwrap();
        assert_eq!(held(&path), ("{}".into(), BLOCK));
        assert!(!exchange(&path, b"[1]").unwrap(), "no room was set aside");
        set_room_aside(&path, b"{}");
        assert_eq!(held(&room_of(&path)), (String::new(), BLOCK));
        // Every one has the room of the one before the last.
        for text in ["[1]", "[1, 2]", "[1, 2, 3]"] {
            assert!(exchange(&path, text.as_bytes()).unwrap());
            assert_eq!(held(&path), (text.into(), BLOCK));
            assert_eq!(held(&room_of(&path)).1, BLOCK);
        }
        assert!(!exchange(&path, &[b'1'; BLOCK + 1]).unwrap(), "longer than that");
        assert_eq!(held(&path).0, "[1, 2, 3]");
        remove(&path).unwrap();
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_written_over_a_longer_file_is_whole() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("web.json");
        fs::write(&path, r#"{"version": 2, "name": "web", "more": [1, 2, 3]}"#).unwrap();
        let length = fs::metadata(&path).unwrap().len() as usize;
        assert!(overwrite(&path, b"{}").unwrap());
        assert_eq!(held(&path), ("{}".into(), length));
        assert!(!overwrite(&path, &[b'1'; 100]).unwrap());
        assert_eq!(held(&path).0, "{}");
    }
}
