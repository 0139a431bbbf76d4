//! The section `[secrets]`: values by name, for the components that they are
//! granted to. In the environment `QX_SECRETS__NAME`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::fault::{ConfigFault, Place};
use super::layers::File;
use super::secret::{Secret, file_of, resolve};

/// The section.
pub(super) const SECTION: &str = "secrets";

/// What a variable's name begins with.
const VARIABLE_PREFIX: &str = "QX_SECRETS__";

/// Longest name of a secret, in characters: it is shown in listings.
const NAME_CHARS_MAX: usize = 64;

/// A secret of the configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedSecret {
    /// The value when the configuration was read.
    pub value: Secret,
    /// Where it is read again, when it is kept in a file.
    pub file: Option<PathBuf>,
}

impl fmt::Debug for NamedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, file } = self;
        f.debug_struct("NamedSecret")
            .field("value", value)
            .field("file", file)
            .finish()
    }
}

/// All of them: the file's, and the environment's over them.
pub(super) fn read(
    file: Option<&File>,
    folder: &Path,
    variables: &BTreeMap<String, String>,
    faults: &mut Vec<ConfigFault>,
) -> BTreeMap<String, NamedSecret> {
    let mut found = BTreeMap::new();
    let mut take = |name: String, raw: &str, folder: &Path, place: Place| {
        let read = legal(&name).and_then(|()| secret(raw, folder, variables));
        match read {
            Ok(secret) => drop(found.insert(name, secret)),
            Err(text) => faults.push(ConfigFault {
                place,
                key: format!("{SECTION}.{}", name.escape_debug()),
                text,
            }),
        }
    };
    let mut others = Vec::new();
    for (name, raw, place) in file
        .map(|file| written(file, &mut others))
        .unwrap_or_default()
    {
        take(name, &raw, folder, place);
    }
    for (variable, raw) in variables {
        // An empty variable counts as not set, as everywhere.
        if let Some(name) = variable.strip_prefix(VARIABLE_PREFIX)
            && !raw.is_empty()
        {
            let place = Place::Variable(variable.clone());
            take(name.to_ascii_lowercase(), raw, Path::new(""), place);
        }
    }
    faults.extend(others);
    found
}

/// What the file has, as it is written there.
fn written(file: &File, faults: &mut Vec<ConfigFault>) -> Vec<(String, String, Place)> {
    let Some(item) = file.root().get(SECTION) else {
        return Vec::new();
    };
    let Some(table) = item.as_table_like() else {
        let text = "is a section; write `[secrets]` and the names below it";
        faults.push(file.fault(item.span(), SECTION, text));
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, item) in table.iter() {
        let span = table.key(name).and_then(toml_edit::Key::span);
        match item.as_str() {
            Some(raw) => found.push((name.to_owned(), raw.to_owned(), file.place(span))),
            // A secret that is no text is still a secret: it is not repeated.
            None => faults.push(file.fault(
                span,
                format!("{SECTION}.{name}"),
                "expected text in quotes, found something else",
            )),
        }
    }
    found
}

fn legal(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(legal) {
        return Ok(());
    }
    Err(format!(
        "is no name for a secret; use 1 to {NAME_CHARS_MAX} of a to z, 0 to 9, _ and -"
    ))
}

fn secret(
    raw: &str,
    folder: &Path,
    variables: &BTreeMap<String, String>,
) -> Result<NamedSecret, String> {
    let value = resolve(raw, folder, variables)?;
    if value.is_empty() {
        return Err("is empty; write the value, \"${env:NAME}\" or \"file:/path\"".to_owned());
    }
    Ok(NamedSecret {
        value: Secret::new(value),
        file: file_of(raw, folder),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(
        text: &str,
        variables: &[(&str, &str)],
    ) -> (BTreeMap<String, NamedSecret>, String) {
        let file = File::parse(Path::new("qx-host.toml"), text).unwrap();
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables = variables.iter().map(pair).collect();
        let mut faults = Vec::new();
        let found = read(Some(&file), Path::new("/there"), &variables, &mut faults);
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        (found, faults.join("\n"))
    }

    #[test]
    fn secrets_come_from_the_file_and_the_environment_over_it() {
        let (found, faults) = read_text(
            "[secrets]\na = \"one\"\nb = \"two-${env:X}\"\n",
            &[
                ("X", "x"),
                ("QX_SECRETS__A", "three"),
                ("QX_SECRETS__C", ""),
            ],
        );
        assert_eq!(faults, "");
        let shown: Vec<_> = found
            .iter()
            .map(|(name, secret)| (name.as_str(), secret.value.expose()))
            .collect();
        assert_eq!(shown, [("a", "three"), ("b", "two-x")]);
    }

    #[test]
    fn every_fault_is_said_and_no_value_is() {
        let (_, faults) = read_text(
            "[secrets]\nA = \"planted1\"\nb = 4711\nc = \"\"\nd = \"file:planted2\"\n",
            &[],
        );
        for part in [
            "qx-host.toml:2:1: secrets.A: is no name",
            "qx-host.toml:3:1: secrets.b: expected text",
            "qx-host.toml:4:1: secrets.c: is empty",
            "qx-host.toml:5:1: secrets.d: the secret's file /there/planted2 cannot be read",
        ] {
            assert!(faults.contains(part), "{part} in\n{faults}");
        }
        assert!(
            !faults.contains("planted1") && !faults.contains("4711"),
            "{faults}"
        );
    }

    #[test]
    fn a_secret_is_not_shown_by_what_holds_it() {
        let (found, _) = read_text("[secrets]\na = \"planted\"\n", &[]);
        let shown = format!("{found:?}");
        assert!(
            shown.contains("[redacted]") && !shown.contains("planted"),
            "{shown}"
        );
    }
}
