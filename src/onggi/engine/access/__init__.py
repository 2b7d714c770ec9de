"""Who may do what through the API: callers, the policy file, the audit log."""
