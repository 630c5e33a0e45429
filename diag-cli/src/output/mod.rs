//! What every tool says, and how: records, histograms, text, the terminal.

pub(crate) mod advice;
pub(crate) mod bar;
pub(crate) mod cause_advice;
pub(crate) mod causes;
pub(crate) mod closing;
pub(crate) mod consistency;
pub(crate) mod cost;
pub(crate) mod histogram;
pub(crate) mod host;
pub(crate) mod layers;
pub(crate) mod least;
pub(crate) mod page;
pub(crate) mod record;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod scale;
pub(crate) mod spectrum;
pub(crate) mod streams;
pub(crate) mod terminal;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod units;
pub(crate) mod writer;
