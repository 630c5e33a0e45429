pub(crate) mod attach;
pub(crate) mod record;
