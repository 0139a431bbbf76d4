//! What becomes of a compiling process that does not do what it should. The real
//! one runs in the acceptance tests; here are others in its place.

use super::*;
use crate::engine::Metering;

/// A script in place of the compiler.
fn script(text: &str) -> ChildCompiler {
    let args = ["-c", text].map(OsString::from).into();
    ChildCompiler::new("/bin/sh".into(), args)
}

async fn refusal(compiler: &ChildCompiler) -> String {
    let error = compiler.compile(b"\0asm").await.unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string);
    format!("{error} {}", source.unwrap_or_default())
}

#[tokio::test]
async fn a_compiler_that_crashes_is_a_load_error_that_says_how() {
    for (text, part) in [
        ("kill -SEGV $$", "signal 11"),
        ("kill -KILL $$", "signal 9"),
        (
            "echo 'thread panicked' >&2; exit 101",
            "exit code 101 (thread panicked)",
        ),
        ("exit 1", "exit code 1"),
        ("printf '\\033[31mred' >&2; exit 9", "\\u{1b}[31mred"),
    ] {
        let refusal = refusal(&script(text)).await;
        assert!(refusal.contains(part), "{text}: {refusal}");
    }
}

#[tokio::test]
async fn a_compiler_that_does_not_end_is_ended() {
    for text in [
        "exec sleep 1000",
        "cat >/dev/null; exec sleep 1000",
        "exec >&-; exec sleep 1000",
    ] {
        let compiler = ChildCompiler {
            time_max: Duration::from_millis(200),
            ..script(text)
        };
        let refusal = refusal(&compiler).await;
        assert!(refusal.contains("longer than 0.2 s"), "{refusal}");
        assert!(refusal.contains("compile_timeout_s"), "{refusal}");
    }
    let refusal = refusal(&script("kill -XCPU $$")).await;
    assert!(refusal.contains("longer than 120 s"), "{refusal}");
}

#[tokio::test]
async fn a_compiler_without_memory_names_the_cap() {
    let text = "echo 'memory allocation of 1048576 bytes failed' >&2; kill -ABRT $$";
    let refusal = refusal(&script(text)).await;
    assert!(refusal.contains("more than 4096 MB"), "{refusal}");
    assert!(refusal.contains("compile_memory_mb"), "{refusal}");
}

#[tokio::test]
async fn a_compiler_that_writes_without_end_is_cut_off() {
    let refusal = refusal(&script("exec yes")).await;
    assert!(refusal.contains("more native code"), "{refusal}");
}

#[tokio::test]
async fn a_refusal_is_the_components_fault_and_keeps_its_words() {
    let refusal = refusal(&script("echo 'type mismatch at 0x77' >&2; exit 3")).await;
    assert!(refusal.contains("not valid here"), "{refusal}");
    assert!(refusal.contains("type mismatch at 0x77"), "{refusal}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told() {
    let compiler = ChildCompiler::new("/not/there".into(), Vec::new());
    let refusal = refusal(&compiler).await;
    assert!(refusal.contains("start the process"), "{refusal}");
}

#[tokio::test]
async fn the_compiler_inherits_no_variable_and_is_told_its_caps() {
    // Cargo sets many for this process.
    assert!(std::env::vars().count() > 5);
    let said = script("env; pwd; echo \"$0 $1\"")
        .compile(b"")
        .await
        .unwrap();
    let said = String::from_utf8(said).unwrap();
    for line in said.lines().filter(|line| line.contains('=')) {
        let own = ["MALLOC_ARENA_MAX=2", "PWD=/", "SHLVL=", "_=", "OLDPWD="];
        assert!(own.iter().any(|start| line.starts_with(start)), "{said}");
    }
    assert!(said.contains("4294967296 120"), "{said}");
}

#[test]
fn what_is_no_native_code_is_not_run() {
    let engine = crate::engine::build(1, 1 << 20, Metering::Off).unwrap();
    let refusal = take(&engine, b"not native code").unwrap_err().to_string();
    assert!(refusal.contains("no native code"), "{refusal}");
}
