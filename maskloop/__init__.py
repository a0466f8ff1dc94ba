"""The kernel everybody may use: settings, workspace, errors, ledger, masks, digests, logs."""
