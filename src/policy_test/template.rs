//! Texts with holes, so that hostile input can be written down briefly.
//!
//! - `${name}`: a variable
//! - `${ff}`: one byte in hexadecimal, which need not make sense as UTF-8
//! - `${300*a}`: a repetition

/// The most bytes that a repetition may make: more than any limit that there is to test.
const MAX_REPEATED: usize = 4 << 20;

/// Fills the holes of a text.
///
/// # Errors
/// When a hole has no end, or there is nothing to put into it.
pub fn fill(text: &str, variables: &[(&str, &[u8])]) -> Result<Vec<u8>, String> {
    let mut filled = Vec::new();
    let mut rest = text;
    while let Some((before, hole)) = rest.split_once("${") {
        filled.extend_from_slice(before.as_bytes());
        let (hole, after) = hole.split_once('}').ok_or_else(|| format!("the hole '${{{hole}' has no end"))?;
        if let Some((_, value)) = variables.iter().find(|(name, _)| *name == hole) {
            filled.extend_from_slice(value);
        } else if let Some((count, unit)) = hole.split_once('*') {
            let count: usize = count.parse().map_err(|_| format!("'{count}' is no number of repetitions"))?;
            if count.checked_mul(unit.len()).is_none_or(|bytes| bytes > MAX_REPEATED) {
                return Err(format!("'${{{hole}}}' is longer than {MAX_REPEATED} bytes"));
            }
            filled.extend_from_slice(unit.repeat(count).as_bytes());
        } else if let (2, Ok(byte)) = (hole.len(), u8::from_str_radix(hole, 16)) {
            filled.push(byte);
        } else {
            return Err(format!("there is nothing to put into the hole '${{{hole}}}'"));
        }
        rest = after;
    }
    filled.extend_from_slice(rest.as_bytes());
    Ok(filled)
}

/// Fills the holes of a text that has to stay one.
///
/// # Errors
/// As [`fill`], and when the result is not UTF-8.
pub fn fill_text(text: &str, variables: &[(&str, &[u8])]) -> Result<String, String> {
    String::from_utf8(fill(text, variables)?).map_err(|_| format!("'{text}' does not fill to UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_with_variables_bytes_and_repetitions() {
        assert_eq!(fill("a${x}b${00}${3*ab}", &[("x", b"-")]), Ok(b"a-b\0ababab".to_vec()));
        assert!(fill("${y}", &[]).is_err());
        assert!(fill("${", &[]).is_err());
        assert!(fill("${99999999999999*ab}", &[]).is_err());
        assert!(fill_text("${ff}", &[]).is_err());
    }
}
