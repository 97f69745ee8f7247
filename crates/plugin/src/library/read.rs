//! Reading what a library says of itself, before any of its code is called.
#![allow(unsafe_code)]

use std::path::Path;

use vitald_sdk::abi::{self, Export, PANIC_ABORTS, Slice, Table, Text};

use super::{AbiVersion, Info, LoadError, OURS};

/// Texts are short: names and versions.
const LONGEST_TEXT: usize = 1024;
/// More crates than this are not linked into one library.
const MOST_CRATES: usize = 1000;

/// What every library of this major version has, whatever its minor one is.
const LEAST_INFO: usize = 4 * size_of::<u32>() + 9 * size_of::<usize>();
const LEAST_TABLE: usize = 7 * size_of::<usize>();
const _: () = assert!(
    size_of::<abi::Info>() == LEAST_INFO && size_of::<Table>() == LEAST_TABLE,
    "an older library does not have what was added: only as much is to be read as it says that there is"
);

/// What the library says of itself, and what it can do.
///
/// # Safety
/// `export` is a symbol of a library that stays loaded. What its pointers point to cannot be checked.
pub(super) unsafe fn export(file: &Path, export: *const Export) -> Result<(Info, Table), LoadError> {
    let rubbish = |what: &str| LoadError::Rubbish { file: file.to_owned(), what: what.to_owned() };
    if export.is_null() || !export.is_aligned() {
        return Err(LoadError::NotOurs { file: file.to_owned() });
    }
    // SAFETY: a symbol has at least these bytes behind it, if only others'.
    if unsafe { (&raw const (*export).magic).read() } != abi::MAGIC {
        return Err(LoadError::NotOurs { file: file.to_owned() });
    }
    // SAFETY: it has said that it is one.
    let (first, end) = unsafe { ((*export).first, (*export).end) };
    if first == end {
        return Err(LoadError::Empty { file: file.to_owned() });
    }
    if first.is_null() || !first.is_aligned() {
        return Err(rubbish("it points nowhere"));
    }
    // SAFETY: it points to an `Info`, by the library's word; its first fields never change.
    let (theirs, size) = unsafe { (version(first), (&raw const (*first).size).read() as usize) };
    if theirs.major == OURS.major && size < LEAST_INFO {
        return Err(rubbish(&format!("it has {size} bytes to say, and that is too few")));
    }
    if theirs.major != OURS.major {
        // SAFETY: the texts are among what never changes.
        let what = match unsafe { info(first) } {
            Ok(info) => format!("{} {}, vitald-sdk {}", info.name, info.version, info.sdk),
            Err(_) => "nameless".to_owned(),
        };
        return Err(LoadError::Version { file: file.to_owned(), what, theirs });
    }
    let bytes = (end as usize).wrapping_sub(first as usize);
    if !bytes.is_multiple_of(size)
        || !size.is_multiple_of(align_of::<abi::Info>())
        || bytes / size > MOST_CRATES
    {
        return Err(rubbish("where it begins and ends do not fit together"));
    }

    let mut all = Vec::new();
    for at in 0..bytes / size {
        // SAFETY: within what the library has to say.
        let place = unsafe { first.byte_add(at * size) };
        // SAFETY: the same.
        all.push((place, unsafe { info(place) }.map_err(|what| rubbish(&what))?));
    }
    // Crates that export probes may depend on each other: the one that the file is named after counts.
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let own = all.iter().position(|(_, info)| stem == format!("lib{}", info.name.replace('-', "_")));
    let (place, info) = all.swap_remove(own.unwrap_or(0));
    // SAFETY: an `Info` of our version.
    let table = unsafe { table((*place).table) }.map_err(|what| rubbish(&what))?;
    Ok((info, table))
}

/// # Safety
/// It points to an [`abi::Info`].
unsafe fn version(info: *const abi::Info) -> AbiVersion {
    // SAFETY: by the caller's word.
    unsafe { AbiVersion { major: (*info).major, minor: (*info).minor } }
}

/// # Safety
/// It points to an [`abi::Info`], of whatever version.
unsafe fn info(info: *const abi::Info) -> Result<Info, String> {
    // SAFETY: by the caller's word; these fields never change.
    let (abi, flags, name, version, sdk, rustc) =
        unsafe { (version(info), (*info).flags, (*info).name, (*info).version, (*info).sdk, (*info).rustc) };
    // SAFETY: the texts live as long as the library.
    let read = |what: &str, it: Text| unsafe { text(it) }.ok_or_else(|| format!("{what} is no text"));
    Ok(Info {
        name: read("its name", name)?,
        version: read("its version", version)?,
        sdk: read("its SDK's version", sdk)?,
        rustc: read("its compiler's version", rustc)?,
        abi,
        panic_aborts: flags & PANIC_ABORTS != 0,
    })
}

/// # Safety
/// There are as many bytes as it says, where that is not too many.
unsafe fn text(text: Text) -> Option<String> {
    if text.len > LONGEST_TEXT {
        return None;
    }
    // SAFETY: by the caller's word.
    let bytes = unsafe { Slice { data: text.data, len: text.len }.borrow() }?;
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// # Safety
/// It is null, or points to a [`Table`] of some version.
unsafe fn table(table: *const Table) -> Result<Table, String> {
    if table.is_null() || !table.is_aligned() {
        return Err("it can do nothing".to_owned());
    }
    // SAFETY: by the caller's word.
    let size = unsafe { (&raw const (*table).size).read() };
    if size < LEAST_TABLE {
        return Err(format!("its table has {size} bytes, and {LEAST_TABLE} are the least"));
    }
    const WORDS: usize = LEAST_TABLE / size_of::<usize>();
    // SAFETY: as many bytes as that, by its own word; before they are taken for functions, which are never null.
    let words = unsafe { table.cast::<[usize; WORDS]>().read() };
    if words.contains(&0) {
        return Err("a function of its table is missing".to_owned());
    }
    // SAFETY: no function is null.
    Ok(unsafe { table.read() })
}
