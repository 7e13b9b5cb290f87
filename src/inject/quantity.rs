//! Quantities as Kubernetes writes them: `50m`, `64Mi`, `0.5`, `1e3`.

/// What a suffix multiplies by.
const SUFFIXES: &[(&str, f64)] = &[
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// The value of a quantity above zero, exact enough to compare two of them. `None` if it is none.
pub(super) fn parse(text: &str) -> Option<f64> {
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, rest) = text.split_at_checked(digits)?;
    let factor = match rest.strip_prefix(['e', 'E']) {
        _ if rest.is_empty() => 1.0,
        // A lone 'E' is a suffix; with digits it is an exponent.
        Some(exponent) if !exponent.is_empty() && rest != "Ei" => 10_f64.powi(exponent_of(exponent)?),
        _ => SUFFIXES.iter().find(|(suffix, _)| *suffix == rest)?.1,
    };
    let number: f64 = if number == "." { return None } else { number.parse().ok()? };
    let value = number * factor;
    (value.is_finite() && value > 0.0).then_some(value)
}

fn exponent_of(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|exponent| (-18..=18).contains(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, value) in
            [("50m", 0.05), ("64Mi", 67_108_864.0), ("0.5", 0.5), (".5", 0.5), ("2.", 2.0), ("1e3", 1000.0), ("1E3", 1000.0)]
        {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        assert_eq!(parse("1E"), Some(1e18));
        assert_eq!(parse("1Ei"), Some(1_152_921_504_606_846_976.0));
        for text in ["", "m", ".", "0", "-1", "+1", "1 Gi", "1gi", "1GB", "1Mib", "1e", "1e+", "1e99", "1.2.3", "NaN", "inf", "1mi", "٣"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
