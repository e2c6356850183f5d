//! Identifies the kind of a file, and suggests what to do about a file that is not a checkpoint.

use crate::torch::legacy;

/// The two formats of `torch.save`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A zip archive: PyTorch 1.6 and later.
    Zip,
    /// A sequence of pickles: PyTorch before 1.6, or on request.
    Legacy,
}

/// The kind of a file that is not a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACheckpoint {
    /// It is empty.
    #[error("the file is empty; remove it and download it again")]
    Empty,
    /// It begins with zeros: a download reserved the space and did not finish.
    #[error("the file begins with zeros: the download did not finish; remove it and download it again")]
    Zeros,
    /// It is a few bytes long.
    #[error("the file ends after its first bytes: the download did not finish; remove it and download it again")]
    Truncated,
    /// HTML or XML.
    #[error("the file is a web page: the link led to a page and not to the file; open the page and download the file")]
    WebPage,
    /// A Git LFS pointer.
    #[error("the file is a Git LFS pointer and not the checkpoint itself; run `git lfs pull`")]
    GitLfsPointer,
    /// Other text.
    #[error("the file is text and not a checkpoint; look at what it says, then download the checkpoint again")]
    Text,
    /// A safetensors file.
    #[error(
        "the file is in safetensors format; convert it with `torch.save(safetensors.torch.load_file(path), 'model.pth')`"
    )]
    Safetensors,
    /// A tar archive.
    #[error("the file is a tar archive; unpack it and use the .pth file inside")]
    Tar,
    /// A gzip file.
    #[error("the file is compressed with gzip; unpack it first")]
    Gzip,
    /// A pickle that `torch.save` did not write.
    #[error("the file is a plain pickle; load it in Python and save the state dict with `torch.save`")]
    PlainPickle,
    /// None of the above.
    #[error("the file is not one that `torch.save` writes; check that it is the right one")]
    Unknown,
}

/// How many bytes at the start of a file are examined.
const HEAD_BYTES: usize = 1024;

pub(super) fn identify(bytes: &[u8]) -> Result<Format, NotACheckpoint> {
    if bytes.starts_with(b"PK\x03\x04") {
        return Ok(Format::Zip);
    }
    if legacy::after_magic(bytes).is_some() {
        return Ok(Format::Legacy);
    }
    Err(foreign(bytes))
}

fn foreign(bytes: &[u8]) -> NotACheckpoint {
    let (head, _) = bytes.split_at(bytes.len().min(HEAD_BYTES));
    if bytes.is_empty() {
        NotACheckpoint::Empty
    } else if head.iter().all(|&byte| byte == 0) {
        NotACheckpoint::Zeros
    } else if b"PK\x03\x04".starts_with(bytes) || legacy::MAGIC.starts_with(bytes) {
        NotACheckpoint::Truncated
    } else if is_safetensors(bytes) {
        NotACheckpoint::Safetensors
    } else if let Some(text) = as_text(head) {
        text_file(text)
    } else if head.get(257..262) == Some(b"ustar") {
        NotACheckpoint::Tar
    } else if head.starts_with(b"\x1f\x8b") {
        NotACheckpoint::Gzip
    } else if matches!(head, [0x80, 2..=5, ..]) {
        NotACheckpoint::PlainPickle
    } else {
        NotACheckpoint::Unknown
    }
}

/// A safetensors file begins with the length of its JSON header in 64 bits.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk() else { return false };
    // The format limits the header to 100 MB.
    u64::from_le_bytes(*length) <= 100_000_000 && rest.starts_with(b"{")
}

/// The head of a file as text, if it is text. The last character may be incomplete.
fn as_text(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    let printable = |character: char| !character.is_control() || matches!(character, '\n' | '\r' | '\t');
    text.chars().all(printable).then_some(text)
}

fn text_file(text: &str) -> NotACheckpoint {
    let text = text.trim_start_matches(|character: char| character == '\u{feff}' || character.is_whitespace());
    if text.starts_with('<') {
        NotACheckpoint::WebPage
    } else if text.starts_with("version https://git-lfs") {
        NotACheckpoint::GitLfsPointer
    } else {
        NotACheckpoint::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_files_are_identified() {
        let mut tar = vec![b'a'; 512];
        tar[3..257].fill(0);
        tar[257..262].copy_from_slice(b"ustar");
        let cases: &[(&[u8], NotACheckpoint)] = &[
            (b"", NotACheckpoint::Empty),
            (&[0; 4000], NotACheckpoint::Zeros),
            (b"PK", NotACheckpoint::Truncated),
            (b"\x80\x02\x8a\nl\xfc\x9c", NotACheckpoint::Truncated),
            (b"\n <!DOCTYPE html><html>", NotACheckpoint::WebPage),
            (b"\xef\xbb\xbf<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", NotACheckpoint::WebPage),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", NotACheckpoint::GitLfsPointer),
            (b"{\"message\": \"Not Found\"}", NotACheckpoint::Text),
            ("zu später Zeit".as_bytes(), NotACheckpoint::Text),
            (b"\x02\x00\x00\x00\x00\x00\x00\x00{}", NotACheckpoint::Safetensors),
            (&tar, NotACheckpoint::Tar),
            (b"\x1f\x8b\x08\x00", NotACheckpoint::Gzip),
            (b"\x80\x04]\x94.", NotACheckpoint::PlainPickle),
            (b"\x89HDF\r\n\x1a\n", NotACheckpoint::Unknown),
        ];
        for (bytes, expected) in cases {
            assert_eq!(identify(bytes), Err(*expected), "{:?}", String::from_utf8_lossy(bytes));
        }
        // The head may end within a character.
        assert_eq!(identify("ä".repeat(512).as_bytes()), Err(NotACheckpoint::Text));
        assert_eq!(identify(format!("a{}", "ä".repeat(600)).as_bytes()), Err(NotACheckpoint::Text));
        assert_eq!(identify(b"PK\x03\x04"), Ok(Format::Zip));
        assert_eq!(identify(legacy::MAGIC), Ok(Format::Legacy));
        assert_eq!(identify(b"L119547037146038801333356L\n."), Ok(Format::Legacy));
    }
}
