//! OData text in and out, in both spellings.
