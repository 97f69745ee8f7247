//! Whether a library's file is there as a whole.
//!
//! The system's loader takes its headers' word for it, and who reads what a copy that is still under way has not
//! written yet is ended by SIGBUS.

/// How many bytes the headers of an ELF file (64 bits, as this program is) say that it has; `None` where it is none:
/// the loader says that better.
fn bytes_of(elf: &[u8]) -> Option<u64> {
    let number = |at: u64, bytes: usize| {
        let at = usize::try_from(at).ok()?;
        let field = elf.get(at..at.checked_add(bytes)?)?;
        let mut number = [0; 8];
        number[..bytes].copy_from_slice(field);
        Some(u64::from_le_bytes(number))
    };
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    // Sections are no business of the loader, but their headers are the end of most files.
    let sections = number(0x28, 8)?.checked_add(number(0x3a, 2)? * number(0x3c, 2)?)?;
    let (segments, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    let mut end = sections.max(segments.checked_add(size * count)?);
    for at in 0..count {
        let segment = segments.checked_add(at * size)?;
        // One that the file ends before is cut off, too.
        let Some((offset, length)) =
            number(segment.checked_add(8)?, 8).zip(number(segment.checked_add(32)?, 8))
        else {
            break;
        };
        end = end.max(offset.checked_add(length)?);
    }
    Some(end)
}

/// # Errors
/// It ends too early: what to say of it.
pub(super) fn check(elf: &[u8]) -> Result<(), String> {
    match bytes_of(elf) {
        Some(all) if all > elf.len() as u64 => Err(format!(
            "it is cut off: {} bytes are there, and {all} are to be. Was it still being copied?",
            elf.len()
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_whole_or_cut_off() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(check(&whole), Ok(()));
        for length in [64, 65, 200, 4096, whole.len() / 2, whole.len() - 1] {
            let refusal = check(&whole[..length]).unwrap_err();
            assert!(refusal.contains(&format!("{length} bytes are there")), "{length}: {refusal}");
        }
    }

    #[test]
    fn headers_of_rubbish_are_borne() {
        for length in 0..200 {
            let _ = check(&vec![0xff; length]);
            let mut elf = b"\x7fELF\x02\x01".to_vec();
            elf.resize(elf.len() + length, 0xff);
            let _ = check(&elf);
        }
    }
}
