//! The header says the same as the Rust that it stands for.

use std::fmt::Write;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use vitald_sdk::abi::{
    Bytes, Done, Export, Info, MAGIC, MAJOR, MINOR, Outcome, PANIC_ABORTS, Services, Slice, Table, Text,
};

/// Each line of C with what it must be.
macro_rules! agree {
    ($($struct:literal $type:ty { $($field:ident),+ })+) => {
        vec![$(
            (format!("sizeof(struct {})", $struct), size_of::<$type>()),
            (format!("_Alignof(struct {})", $struct), align_of::<$type>()),
            $((format!("offsetof(struct {}, {})", $struct, stringify!($field)), offset_of!($type, $field)),)+
        )+]
    };
}

#[test]
fn the_header_agrees() {
    let mut all = agree! {
        "vitald_text" Text { data, len }
        "vitald_slice" Slice { data, len }
        "vitald_bytes" Bytes { data, len, capacity, free }
        "vitald_done" Done { data, call }
        "vitald_services" Services { data, call, cancel, release }
        "vitald_table" Table { size, describe, needs, build, check, cancel, destroy }
        "vitald_info" Info { major, minor, size, flags, name, version, sdk, rustc, table }
        "vitald_export" Export { magic, first, end }
    };
    for (name, number) in [
        ("VITALD_MAJOR", MAJOR),
        ("VITALD_MINOR", MINOR),
        ("VITALD_PANIC_ABORTS", PANIC_ABORTS),
        ("VITALD_DONE", Outcome::Done as u32),
        ("VITALD_REFUSED", Outcome::Refused as u32),
        ("VITALD_PANICKED", Outcome::Panicked as u32),
        ("VITALD_CANCELLED", Outcome::Cancelled as u32),
    ] {
        all.push((name.to_owned(), number as usize));
    }
    for (at, byte) in MAGIC.iter().enumerate() {
        all.push((format!("magic[{at}]"), usize::from(*byte)));
    }

    let mut source = "#include <stdio.h>\n#include \"vitald_plugin.h\"\n\
        static const unsigned char magic[8] = VITALD_MAGIC;\nint main(void) {\n"
        .to_owned();
    for (expression, _) in &all {
        writeln!(source, "  printf(\"%zu\\n\", (size_t)({expression}));").unwrap();
    }
    source.push_str("  return 0;\n}\n");

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (file, program) = (folder.join("header.c"), folder.join("header"));
    std::fs::write(&file, source).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"]).arg(include);
    // Rust's own linker: it is wherever this is built.
    let output = compiler.arg(&file).arg("-o").arg(&program).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap();
    let told: Vec<usize> = told.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(told.len(), all.len());
    for ((expression, ours), theirs) in all.iter().zip(told) {
        assert_eq!(*ours, theirs, "{expression}");
    }
}
