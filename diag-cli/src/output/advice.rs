//! What to look at next: rules as data, and one way to choose among them.

use super::record::verdict::Advice;

/// Pieces of advice in a verdict at most.
const MOST: usize = 4;

/// Something worth looking at, or worth doing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule<When: 'static> {
    /// Its identifier, part of the public interface.
    pub(crate) id: &'static str,
    /// When it applies.
    pub(crate) when: When,
    /// One or two plain sentences; `{gap}` stands for what the situation fills in.
    pub(crate) text: &'static str,
    /// Where it comes from: a kernel document or file, or a manual page.
    pub(crate) source: &'static str,
}

/// Chooses among rules, the most telling first.
pub(crate) struct Adviser<'a> {
    gaps: &'a [(&'a str, Option<String>)],
    chosen: Vec<Advice>,
}

impl<'a> Adviser<'a> {
    /// With what fills the rules' gaps: names without braces, each with its words, or none where they are not known.
    pub(crate) fn new(gaps: &'a [(&'a str, Option<String>)]) -> Adviser<'a> {
        Adviser { gaps, chosen: Vec::new() }
    }

    /// Adds the rules that apply, up to `most` of them, but for those that have a gap of which the words are not known, and
    /// those that are chosen already.
    pub(crate) fn add<When>(&mut self, rules: &[Rule<When>], most: usize, applies: impl Fn(&When) -> bool) {
        let room = most.min(MOST.saturating_sub(self.chosen.len()));
        let fitting = rules.iter().filter(|rule| applies(&rule.when)).filter_map(|rule| self.filled(rule));
        let new: Vec<Advice> = fitting.take(room).collect();
        self.chosen.extend(new);
    }

    fn filled<When>(&self, rule: &Rule<When>) -> Option<Advice> {
        if self.chosen.iter().any(|chosen| chosen.rule == rule.id) {
            return None;
        }
        let mut text = rule.text.to_owned();
        for (gap, words) in self.gaps {
            let gap = format!("{{{gap}}}");
            if text.contains(&gap) {
                text = text.replace(&gap, words.as_ref()?);
            }
        }
        Some(Advice { rule: rule.id, text, source: rule.source })
    }

    /// The chosen ones.
    pub(crate) fn finish(self) -> Vec<Advice> {
        self.chosen
    }
}

/// The identifiers of rules, for a schema.
pub(crate) fn ids<When>(rules: &[Rule<When>]) -> Vec<&'static str> {
    rules.iter().map(|rule| rule.id).collect()
}

/// What holds of every table of rules: identifiers are words that occur once, texts are single lines.
#[cfg(test)]
pub(crate) fn check<When>(rules: &[Rule<When>]) {
    for (at, rule) in rules.iter().enumerate() {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(!rule.id.is_empty() && rule.id.chars().all(word), "{}", rule.id);
        assert!(rules[at + 1..].iter().all(|other| other.id != rule.id), "{} twice", rule.id);
        assert!(
            rule.text.len() <= 300 && !rule.text.contains('\n') && !rule.source.is_empty(),
            "{}",
            rule.id
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &[Rule<u8>] = &[
        Rule { id: "a", when: 1, text: "look at {device}", source: "iostat(1)" },
        Rule { id: "b", when: 1, text: "look", source: "vmstat(8)" },
        Rule { id: "c", when: 2, text: "or there", source: "vmstat(8)" },
    ];

    fn chosen(device: Option<&str>, order: &[u8]) -> Vec<String> {
        let gaps = [("device", device.map(str::to_owned))];
        let mut adviser = Adviser::new(&gaps);
        order.iter().for_each(|wanted| adviser.add(RULES, 9, |when| when == wanted));
        adviser.finish().into_iter().map(|advice| advice.text).collect()
    }

    #[test]
    fn rules_come_in_the_order_asked_for_and_once() {
        check(RULES);
        assert_eq!(chosen(Some("vda"), &[2, 1, 2]), ["or there", "look at vda", "look"]);
    }

    #[test]
    fn a_rule_whose_gap_is_not_known_does_not_apply() {
        assert_eq!(chosen(None, &[1]), ["look"]);
    }
}
