//! Taking a message from a run's socket, with who sent it: recvmsg(2), unix(7).
//!
//! Unsafe where there is no safe way. The kernel gives the pid of a sender that our pid namespace does not show
//! as 0: one that came in from outside, as by nsenter(1) or `docker exec`. rustix has no number for that.
#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::message::MAX_MESSAGE;

/// Room for the sender's credentials, and for four descriptors: more are closed by the kernel.
const ROOM: usize = 2 * HEADER + align(size_of::<libc::ucred>()) + align(4 * size_of::<libc::c_int>());
/// Before each part: its length with this, its level, and its type. `struct cmsghdr`.
const HEADER: usize = align(size_of::<usize>() + 2 * size_of::<libc::c_int>());

pub(super) struct Message {
    pub(super) text: Vec<u8>,
    pub(super) too_long: bool,
    /// As the kernel has it; `None` where it cannot be seen from our pid namespace.
    pub(super) sender: Option<i32>,
    /// Descriptors that came along; of no use but to who waits for their end.
    _descriptors: Vec<OwnedFd>,
}

/// Takes the next message, and does not wait for one.
///
/// # Errors
/// There is none ([`io::ErrorKind::WouldBlock`]), or the kernel refuses.
pub(super) fn receive(socket: &impl AsFd) -> io::Result<Message> {
    let mut text = vec![0_u8; MAX_MESSAGE];
    let mut control = Control([0; ROOM]);
    let mut into = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: text.len() };
    // SAFETY: all zero is a header of nothing. It is made to point to what outlives the call, with the length that
    // each has, and the kernel writes no more than that.
    let (bytes, flags, filled) = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut into;
        header.msg_iovlen = 1;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = ROOM as _;
        let wanted = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
        let bytes = libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, wanted);
        (Errno::result(bytes)?, header.msg_flags, header.msg_controllen as usize)
    };
    let mut parts = Parts::default();
    parts.read(&control.0[..filled.min(ROOM)]);
    // SAFETY: the kernel has just made these descriptors, for us alone.
    let own = |number| unsafe { OwnedFd::from_raw_fd(number) };
    let descriptors = parts.descriptors.into_iter().map(own).collect();
    text.truncate(bytes.unsigned_abs());
    let too_long = flags & libc::MSG_TRUNC != 0;
    Ok(Message { text, too_long, sender: parts.sender, _descriptors: descriptors })
}

/// Aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; ROOM]);

/// What comes along with a message.
#[derive(Debug, Default, PartialEq)]
struct Parts {
    sender: Option<i32>,
    descriptors: Vec<i32>,
}

impl Parts {
    fn read(&mut self, mut control: &[u8]) {
        const INT: usize = size_of::<libc::c_int>();
        while let Some((header, _)) = control.split_at_checked(HEADER) {
            let (length, kind) = header.split_at(size_of::<usize>());
            let length = length.try_into().map_or(0, usize::from_ne_bytes);
            let kind: Vec<i32> = kind.as_chunks().0.iter().map(|int| i32::from_ne_bytes(*int)).collect();
            let Some(data) = control.get(HEADER..length) else { return };
            let mut numbers = data.as_chunks::<INT>().0.iter().map(|int| i32::from_ne_bytes(*int));
            match kind[..] {
                // pid, uid, gid.
                [libc::SOL_SOCKET, libc::SCM_CREDENTIALS, ..] => {
                    self.sender = numbers.next().filter(|pid| *pid > 0)
                }
                [libc::SOL_SOCKET, libc::SCM_RIGHTS, ..] => self.descriptors.extend(numbers),
                _ => {}
            }
            control = control.get(align(length)..).unwrap_or_default();
        }
    }
}

/// Each part begins at such a place.
const fn align(length: usize) -> usize {
    length.next_multiple_of(size_of::<usize>())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::IoSlice;
    use std::mem::MaybeUninit;
    use std::os::unix::net::UnixDatagram;

    use rustix::net::sockopt::set_socket_passcred;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;

    fn part(level: i32, kind: i32, data: &[i32]) -> Vec<u8> {
        let length = HEADER + size_of_val(data);
        let mut part = length.to_ne_bytes().to_vec();
        [level, kind].iter().chain(data).for_each(|int| part.extend(int.to_ne_bytes()));
        part.resize(align(length), 0);
        part
    }

    fn read(control: &[u8]) -> Parts {
        let mut parts = Parts::default();
        parts.read(control);
        parts
    }

    #[test]
    fn a_sender_that_is_nowhere_here_has_no_number() {
        let descriptors = part(libc::SOL_SOCKET, libc::SCM_RIGHTS, &[7, 8, 9]);
        let from =
            |pid| [part(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &[pid, 0, 0]), descriptors.clone()].concat();
        assert_eq!(read(&from(42)), Parts { sender: Some(42), descriptors: vec![7, 8, 9] });
        assert_eq!(read(&from(0)), Parts { sender: None, descriptors: vec![7, 8, 9] });
        assert_eq!(read(&descriptors), Parts { sender: None, descriptors: vec![7, 8, 9] });
    }

    #[test]
    fn what_is_no_part_is_none() {
        let whole = part(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, &[42, 0, 0]);
        assert_eq!(read(&whole[..whole.len() - 8]), Parts::default());
        assert_eq!(read(&[0; ROOM]), Parts::default());
        assert_eq!(read(&[0xff; ROOM]), Parts::default());
        let unknown = [part(libc::SOL_SOCKET, 77, &[1]), whole].concat();
        assert_eq!(read(&unknown), Parts { sender: Some(42), descriptors: vec![] });
    }

    #[test]
    fn what_came_along_is_held_as_long_as_its_message() {
        let (to, from) = UnixDatagram::pair().unwrap();
        set_socket_passcred(&to, true).unwrap();
        // More than there is room for.
        let pipes: Vec<_> = (0..6).map(|_| std::io::pipe().unwrap()).collect();
        let ends: Vec<_> = pipes.iter().map(|(_, write)| write.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(6))];
        let mut along = SendAncillaryBuffer::new(&mut space);
        assert!(along.push(SendAncillaryMessage::ScmRights(&ends)));
        sendmsg(&from, &[IoSlice::new(b"READY=1")], &mut along, SendFlags::empty()).unwrap();
        let message = receive(&to).unwrap();
        assert_eq!((message.text.as_slice(), message.too_long), (&b"READY=1"[..], false));
        assert_eq!(message.sender, Some(std::process::id().cast_signed()));
        assert_eq!(message._descriptors.len(), 4);
        for held in &message._descriptors {
            let flags = rustix::io::fcntl_getfd(held).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
        let numbers: Vec<_> = message._descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let targets = || numbers.iter().map(|fd| fs::read_link(format!("/proc/self/fd/{fd}")).ok());
        let held: Vec<_> = targets().collect();
        drop(message);
        for ((read, write), (before, now)) in pipes.into_iter().zip(held.into_iter().zip(targets())) {
            assert!(before.is_some() && before != now);
            drop(write);
            assert_eq!(std::io::read_to_string(read).unwrap(), "", "nobody can write any more");
        }
        assert_eq!(receive(&to).err().map(|err| err.kind()), Some(io::ErrorKind::WouldBlock));
    }

    #[test]
    fn a_message_of_more_than_is_taken_says_so() {
        let (to, from) = UnixDatagram::pair().unwrap();
        from.send(&vec![b'x'; MAX_MESSAGE + 1]).unwrap();
        from.send(b"").unwrap();
        let long = receive(&to).unwrap();
        assert_eq!((long.text.len(), long.too_long, long.sender), (MAX_MESSAGE, true, None));
        let empty = receive(&to).unwrap();
        assert!(empty.text.is_empty() && !empty.too_long);
    }
}
