//! Doors for fuzzing: what is read of other people's answers.

/// Reads `bytes` as an answer of KMS.
pub fn kms_answer(bytes: &[u8]) {
    crate::kms::read_any(bytes);
}

/// Reads `bytes` as an answer of STS or S3.
pub fn aws_answer(bytes: &[u8]) {
    crate::aws::read_any(bytes);
}
