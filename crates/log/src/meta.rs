//! `NAME.log.meta`: which byte of all ever written is where.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

use rustix::fs::FallocateFlags;
use serde::{Deserialize, Serialize};

use crate::cut;
use crate::names::Names;
use crate::times::{self, boot_tag};

const VERSION: u32 = 1;

/// A meta is padded to this: writing the next version into room that was set aside needs no more room.
const BLOCK: usize = 4096;

/// All that is to be known about a log's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    pub(crate) version: u32,
    /// Another one each time somebody else has truncated or replaced the live file.
    pub(crate) epoch: u64,
    /// What the live file was when this epoch began.
    #[serde(default)]
    pub(crate) began: Option<Live>,
    pub(crate) live: Live,
    /// How far the log is known to have come: a logical offset. For when the live file has gone.
    pub(crate) seen: u64,
    /// Oldest first.
    pub(crate) archives: Vec<Archive>,
    /// What stands at the beginning of the live file until its hidden part has been collapsed. Collapsing is
    /// atomic, and takes the mark with it: whether it has happened can be told at any time, whatever
    /// has been written meanwhile.
    pub(crate) collapse: Option<String>,
    /// The component writes at an offset of its own, so that the file must not be shifted under it.
    pub(crate) own_offset: bool,
    /// In which boot of the machine it was stored.
    #[serde(default)]
    boot: u32,
}

/// The file that is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Live {
    /// 0 if there has been none yet.
    pub(crate) inode: u64,
    /// Place in the file where it begins to count; what lies before is in an archive, or dropped.
    pub(crate) start: u64,
    /// Logical offset of that place.
    pub(crate) begin: u64,
}

/// An older file. Nobody changes it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Archive {
    /// Logical offset of its first byte.
    pub(crate) begin: u64,
    /// Bytes.
    pub(crate) length: u64,
    pub(crate) inode: u64,
}

impl Archive {
    pub(crate) fn end(&self) -> u64 {
        self.begin.saturating_add(self.length)
    }
}

/// A meta as it was read: holding the file open keeps its inode number from being given to another.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// `None` if there is none, or none that can be understood.
    pub(crate) meta: Option<Meta>,
    held: Option<File>,
}

impl Meta {
    /// Of a log without one. What files there are is taken to be all there was, a hole at the beginning of the
    /// live one to be what was hidden, and `at_least` the logical offset up to which the log is known to
    /// have come by other means.
    pub(crate) fn reconstruct(names: &Names, live: Option<&File>, at_least: u64) -> io::Result<Self> {
        let mut found = names.archives(0)?;
        // A draft that no meta knows of was not finished.
        found.retain(|found| found.number > 0);
        let data = live.map(File::metadata).transpose()?;
        let size = data.as_ref().map_or(0, fs::Metadata::len);
        let start =
            live.filter(|_| size > 0).map_or(0, |file| cut::next_data(file, 0).unwrap_or(0).min(size));
        let before: u64 = found.iter().map(|found| found.length).sum();
        let mut begin = at_least.saturating_sub(before + (size - start));
        let mut archives = Vec::new();
        for found in found.iter().rev() {
            archives.push(Archive { begin, length: found.length, inode: found.inode });
            begin += found.length;
        }
        let live = Live { inode: data.as_ref().map_or(0, MetadataExt::ino), start, begin };
        let seen = begin + (size - start);
        let (version, boot) = (VERSION, boot_tag());
        let (epoch, began, collapse, own_offset) = (0, None, None, false);
        Ok(Self { version, epoch, began, live, seen, archives, collapse, own_offset, boot })
    }

    /// Reads what is stored.
    pub(crate) fn load(names: &Names) -> io::Result<Loaded> {
        let mut held = match File::open(names.meta()) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return Ok(Loaded { meta: None, held: None });
            }
            file => file?,
        };
        let mut text = Vec::new();
        held.read_to_end(&mut text)?;
        let meta = serde_json::from_slice::<Self>(&text).ok().filter(Self::is_sane);
        Ok(Loaded { meta, held: Some(held) })
    }

    /// Whether the machine has been started anew since anybody noted anything: the end of what was written
    /// before may then have got lost with it.
    pub(crate) fn is_of_another_boot(&self, names: &Names) -> bool {
        let noted = times::last_note(&names.times()).map(|note| note.at.boot_tag);
        self.boot != boot_tag() && noted != Some(boot_tag())
    }

    /// Somebody has truncated or replaced the live file: from now on it is `live`.
    pub(crate) fn begin_again(&mut self, live: Live) {
        self.live = live;
        self.began = Some(live);
        self.epoch += 1;
        self.collapse = None;
    }

    fn is_sane(&self) -> bool {
        let in_order = self.archives.windows(2).all(|pair| pair[0].end() <= pair[1].begin);
        self.version == VERSION && in_order && self.archives.last().is_none_or(|a| a.end() <= self.live.begin)
    }

    /// Replaces the stored one by this, atomically; mode 0600. `sync`: it survives the machine's death.
    ///
    /// # Errors
    /// ENOSPC only if there was no room last time, either.
    pub(crate) fn store(&self, names: &Names, sync: bool) -> io::Result<()> {
        let mut text = serde_json::to_vec(&Self { boot: boot_tag(), ..self.clone() })?;
        text.resize(text.len().next_multiple_of(BLOCK), b' ');
        let next = names.next_meta();
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&next)?;
        file.write_all_at(&text, 0)?;
        file.set_len(text.len() as u64)?;
        if sync {
            file.sync_data()?;
        }
        fs::rename(&next, names.meta())?;
        if sync {
            // The names, too: what is freed after this must not be missed by an older meta.
            File::open(names.folder())?.sync_all()?;
        }
        set_room_aside(names, text.len() as u64);
        Ok(())
    }
}

impl Loaded {
    /// Whether what is stored is still this.
    pub(crate) fn is_current(&self, names: &Names) -> bool {
        let identity = |data: fs::Metadata| (data.dev(), data.ino());
        let named = fs::metadata(names.meta()).ok().map(identity);
        named == self.held.as_ref().and_then(|held| held.metadata().ok()).map(identity)
    }
}

/// Room for the next meta: dropping the oldest on a full disk must be possible. Better than nothing if
/// there is none by now.
fn set_room_aside(names: &Names, length: u64) {
    let next =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(names.next_meta());
    if let Ok(next) = next {
        let _ = rustix::fs::fallocate(next, FallocateFlags::empty(), 0, length);
    }
}
