//! Strict TOML: an unknown key is an error that names the line and suggests the nearest known key.

use serde::de::DeserializeOwned;

/// Why a TOML text is invalid.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {message}")]
pub struct TomlError {
    /// The file's name as the user gave it.
    pub name: String,
    /// The position, the line, the problem, and perhaps a suggestion.
    pub message: String,
}

/// Reads a TOML text into a type that denies unknown fields. `name` appears in the error only.
///
/// # Errors
/// When the text is not TOML, or has a key or value that the type does not accept.
pub fn from_toml<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, TomlError> {
    toml::from_str(text).map_err(|error| {
        let mut message = error.to_string().trim_end().to_owned();
        if let Some(meant) = suggestion(error.message()) {
            message.push_str(&format!("\ndid you mean `{meant}`?"));
        }
        TomlError { name: name.to_owned(), message }
    })
}

/// The nearest known word in serde's message "unknown field `a`, expected one of `b`, `c`".
fn suggestion(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut words = rest.split('`').skip(1).step_by(2);
    let unknown = words.next()?;
    nearest(unknown, words).map(str::to_owned)
}

/// The word most similar to `unknown`; `None` when none is similar enough for a suggestion.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing is quadratic, and the unknown word may be as long as a file. Skip words that cannot be similar.
    let length = unknown.chars().count();
    known
        .into_iter()
        .filter(|word| length.abs_diff(word.chars().count()) <= 1 + word.len() / 5)
        .map(|word| (strsim::damerau_levenshtein(unknown, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.len() / 5)
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
    fn an_unknown_key_is_reported_with_line_and_suggestion() {
        let error = from_toml::<Sample>("config.toml", "# a\ndevcies = \"cpu\"\n").unwrap_err().to_string();
        assert!(error.starts_with("config.toml: "), "{error}");
        assert!(error.contains("line 2") && error.contains("did you mean `devices`?"), "{error}");
        let error = from_toml::<Sample>("c", "colour = 1").unwrap_err().to_string();
        assert!(error.contains("unknown field `colour`") && !error.contains("did you mean"), "{error}");
    }
}
