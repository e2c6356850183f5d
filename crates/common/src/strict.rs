//! Strict TOML: an unknown key is an error that names the line and the key that was probably meant.

use serde::de::DeserializeOwned;

/// A TOML text that could not be taken, with where and why.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {message}")]
pub struct TomlError {
    /// The file's name as the user gave it.
    pub name: String,
    /// Line, column, the line itself, what is wrong, and a suggestion where there is one.
    pub message: String,
}

/// Reads a TOML text into a type that denies unknown fields; `name` is used in the error only.
///
/// # Errors
/// Anything that is not TOML, and any key or value that the type does not take.
pub fn from_toml<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, TomlError> {
    toml::from_str(text).map_err(|error| {
        let mut message = error.to_string().trim_end().to_owned();
        if let Some(meant) = suggestion(error.message()) {
            message.push_str(&format!("\ndid you mean `{meant}`?"));
        }
        TomlError { name: name.to_owned(), message }
    })
}

/// The known word nearest to the unknown one in serde's "unknown field `a`, expected one of `b`, `c`".
fn suggestion(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut words = rest.split('`').skip(1).step_by(2);
    let unknown = words.next()?;
    nearest(unknown, words).map(str::to_owned)
}

/// The word nearest to `unknown`, if any is near enough to have been meant.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A word so much longer or shorter cannot be near, and it may be as long as a file: it is not even compared.
    let length = unknown.chars().count();
    known
        .into_iter()
        .filter(|word| length.abs_diff(word.chars().count()) <= 1 + word.len() / 4)
        .map(|word| (strsim::damerau_levenshtein(unknown, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.len() / 4)
        .min()
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only its name matters")]
        devices: Option<String>,
    }

    #[test]
    fn an_unknown_key_names_line_and_suggestion() {
        let error = from_toml::<Sample>("config.toml", "# a\ndevcies = \"cpu\"\n").unwrap_err().to_string();
        assert!(error.starts_with("config.toml: "), "{error}");
        assert!(error.contains("line 2") && error.contains("did you mean `devices`?"), "{error}");
        let error = from_toml::<Sample>("c", "colour = 1").unwrap_err().to_string();
        assert!(error.contains("unknown field `colour`") && !error.contains("did you mean"), "{error}");
    }
}
