//! HTTP/1.1, as far as both ends need it.

/// Bytes of the request at the beginning of the buffer, once it is complete.
pub(crate) fn request_length(buffer: &[u8]) -> Option<usize> {
    let head = find(buffer, b"\r\n\r\n")? + 4;
    let length = content_length(&buffer[..head]).unwrap_or(0);
    (buffer.len() >= head + length).then_some(head + length)
}

/// The value of `content-length` in a head.
pub(crate) fn content_length(head: &[u8]) -> Option<usize> {
    field(head, "content-length")?.parse().ok()
}

/// The value of a field in a head; the name in lower case.
pub(crate) fn field(head: &[u8], wanted: &str) -> Option<String> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(wanted.len())?;
        let value = value.strip_prefix(b":")?;
        let named = name.eq_ignore_ascii_case(wanted.as_bytes());
        named.then(|| String::from_utf8_lossy(value).trim().to_owned())
    })
}

/// Where `part` first stands in `bytes`.
pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
