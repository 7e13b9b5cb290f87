//! What may have been meant.

/// The nearest of the candidates, if one is near.
pub(super) fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).min(3);
    candidates
        .iter()
        .map(|candidate| (distance(name, candidate), *candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, left) in a.to_lowercase().chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut before = line + 1;
        next.push(before);
        for (right, pair) in b.iter().zip(row.windows(2)) {
            let [diagonal, above] = *pair else { break };
            before = (before + 1).min(above + 1).min(diagonal + usize::from(left != *right));
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
