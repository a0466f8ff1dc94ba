"""The service under load: beside the bare model, beside other servers, and while champions change."""
