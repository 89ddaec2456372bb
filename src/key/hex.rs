//! Bytes as lower-case hexadecimal digits (RFC 4648 section 8).

/// Two digits a byte.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The bytes that two digits each stand for; `None` for anything else.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    rest.is_empty().then(|| pairs.iter().map(byte).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_their_digits_and_what_is_none_is_refused() {
        assert_eq!(encode(&[0, 0x0f, 0xf0, 0xff]), "000ff0ff");
        assert_eq!(decode("000FF0ff"), Some(vec![0, 0x0f, 0xf0, 0xff]));
        for text in ["0", "0g", "é", "0x"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
