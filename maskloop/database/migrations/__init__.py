"""One folder of numbered migrations for each store; docs/adr/0017-databases.md says how to add one."""
