//! What the kernel does to files for us: copying, collapsing, punching, holes.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom, StatVfs};
use rustix::io::Errno;

/// How much is asked for at once: a copy can be given up between two of them.
const PIECE: u64 = 8 * 1024 * 1024;

/// What files of this file system are made of; ranges to be collapsed begin and end at multiples of it.
pub(crate) fn block_of(file: &File) -> u64 {
    let stated = rustix::fs::fstatfs(file).map_or(0, |about| u64::try_from(about.f_bsize).unwrap_or(0));
    // tmpfs with huge pages, NFS: what they state is no block.
    if stated.is_power_of_two() { stated.clamp(4096, 64 * 1024) } else { 4096 }
}

/// Bytes that there is room for on a file's file system.
pub(crate) fn room(file: &File) -> io::Result<u64> {
    Ok(stated_room(&rustix::fs::fstatvfs(file)?))
}

/// The same, for a folder.
pub(crate) fn room_in(folder: &Path) -> io::Result<u64> {
    Ok(stated_room(&rustix::fs::statvfs(folder)?))
}

/// A file system without a limit states no size at all: tmpfs with `size=0`, some of FUSE.
fn stated_room(about: &StatVfs) -> u64 {
    if about.f_blocks == 0 { u64::MAX } else { about.f_bavail.saturating_mul(about.f_frsize) }
}

/// Copies a part of a file to the end of an empty one, in the kernel. Gives the number of bytes that were
/// there to be copied.
///
/// # Errors
/// ENOSPC, EDQUOT and others of write(2).
pub(crate) fn copy(from: &File, range: Range<u64>, to: &File) -> io::Result<u64> {
    let (mut read, mut written) = (range.start, 0);
    while read < range.end {
        let want = usize::try_from((range.end - read).min(PIECE)).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), want) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return copy_by_hand(from, read..range.end, to, written);
            }
            Err(err) => return Err(err.into()),
        }
    }
    Ok(written)
}

fn copy_by_hand(from: &File, range: Range<u64>, to: &File, mut written: u64) -> io::Result<u64> {
    let mut block = vec![0; 256 * 1024];
    let mut read = range.start;
    while read < range.end {
        let want = (range.end - read).min(block.len() as u64) as usize;
        let length = from.read_at(&mut block[..want], read)?;
        if length == 0 {
            break;
        }
        to.write_all_at(&block[..length], written)?;
        read += length as u64;
        written += length as u64;
    }
    Ok(written)
}

/// Takes the first `length` bytes out of a file; what follows moves to its beginning. Atomic for everybody
/// who has it open, and lossless for who writes with O_APPEND. fallocate(2), FALLOC_FL_COLLAPSE_RANGE.
///
/// # Errors
/// EOPNOTSUPP where the file system cannot, EINVAL where `length` is no multiple of its blocks, or nothing
/// would be left.
pub(crate) fn collapse(file: &File, length: u64) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::COLLAPSE_RANGE, 0, length))?)
}

/// How far past the end it is tried what works: where nobody writes by then. Not further: file systems of
/// small blocks cannot count far.
const PAST_END: u64 = 1 << 30;

/// Whether [`collapse`] works on a file, found out without doing it: past the end there is nothing to
/// collapse, and only file systems that can say so.
pub(crate) fn can_collapse(file: &File, block: u64) -> bool {
    let Ok(at) = past_end(file, block) else { return false };
    let refused = rustix::fs::fallocate(file, FallocateFlags::COLLAPSE_RANGE, at, block);
    matches!(refused, Err(Errno::INVAL))
}

/// Whether [`punch`] works on a file, found out where there is nothing to punch.
pub(crate) fn can_punch(file: &File, block: u64) -> bool {
    past_end(file, block).is_ok_and(|at| punch(file, at..at + block).is_ok())
}

fn past_end(file: &File, block: u64) -> io::Result<u64> {
    Ok(file.metadata()?.len().next_multiple_of(block) + PAST_END)
}

/// Gives a range of a file back to the file system; it reads as zeros. fallocate(2),
/// FALLOC_FL_PUNCH_HOLE.
///
/// # Errors
/// EOPNOTSUPP where the file system cannot.
pub(crate) fn punch(file: &File, range: Range<u64>) -> io::Result<()> {
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if range.is_empty() {
        return Ok(());
    }
    let length = range.end - range.start;
    Ok(rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, how, range.start, length))?)
}

/// Where the next hole begins at or after `from`; the end of the file counts as one. `None` past the end.
pub(crate) fn next_hole(file: &File, from: u64) -> Option<u64> {
    rustix::fs::seek(file, SeekFrom::Hole(from)).ok()
}

/// Where the next data begin at or after `from`. `None` if there are none.
pub(crate) fn next_data(file: &File, from: u64) -> Option<u64> {
    rustix::fs::seek(file, SeekFrom::Data(from)).ok()
}
