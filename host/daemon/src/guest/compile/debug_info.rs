//! What compilers leave in a module for debuggers, which a component need not carry.

/// Sections of DWARF begin so.
const DEBUG_INFO: &str = ".debug_";

/// Custom sections have this number.
const CUSTOM: u8 = 0;

/// A module without debug information. Names of functions stay, for the text of a trap:
/// a linker's own stripping takes them along, or not. What is no module stays as it is.
pub(super) fn strip(wasm: Vec<u8>) -> Vec<u8> {
    stripped(&wasm).unwrap_or(wasm)
}

fn stripped(wasm: &[u8]) -> Option<Vec<u8>> {
    const PREAMBLE: usize = 8;
    let mut kept = wasm.get(..PREAMBLE)?.to_vec();
    let mut rest = wasm.get(PREAMBLE..)?;
    while let Some((&number, after)) = rest.split_first() {
        let (length, body) = length(after)?;
        let body = body.split_at_checked(length)?;
        let whole = rest.len().checked_sub(body.1.len())?;
        if number != CUSTOM || !name(body.0)?.starts_with(DEBUG_INFO.as_bytes()) {
            kept.extend(rest.get(..whole)?);
        }
        rest = body.1;
    }
    Some(kept)
}

/// A custom section begins with its name.
fn name(section: &[u8]) -> Option<&[u8]> {
    let (length, rest) = length(section)?;
    rest.get(..length)
}

/// A number as WebAssembly writes it, seven bits a byte, the lowest first; and what
/// follows.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0_usize;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        number |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(number: u8, body: &[u8]) -> Vec<u8> {
        let mut section = vec![number];
        super::super::length(&mut section, body.len());
        section.extend(body);
        section
    }

    fn custom(name: &str, data: &[u8]) -> Vec<u8> {
        let mut body = vec![u8::try_from(name.len()).unwrap()];
        body.extend(name.bytes());
        body.extend(data);
        section(CUSTOM, &body)
    }

    #[test]
    fn debug_information_goes_and_everything_else_stays_in_its_order() {
        let preamble = b"\0asm\x01\0\0\0".to_vec();
        let long = vec![7; 1000];
        let (types, names) = (section(1, &long), custom("name", b"main"));
        let module = [
            &*preamble,
            &*types,
            &*custom(".debug_info", &long),
            &*names,
            &*custom(".debug_line", b""),
        ];
        let kept = [&*preamble, &*types, &*names].concat();
        assert_eq!(strip(module.concat()), kept);
        assert_eq!(strip(kept.clone()), kept);
    }

    #[test]
    fn what_is_no_module_stays_as_it_is() {
        for broken in [
            b"\0asm".to_vec(),
            b"\0asm\x01\0\0\0\x01\x05ab".to_vec(),
            b"\0asm\x01\0\0\0\0\xff\xff\xff\xff\xff\xff".to_vec(),
        ] {
            assert_eq!(strip(broken.clone()), broken);
        }
    }
}
