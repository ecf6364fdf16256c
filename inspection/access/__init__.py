"""Who may use a dashboard that others can reach: accounts, what they may, and a record of what they did.

- roles: viewer, reviewer, engineer
- book: the file that all of it stands in
- passwords: hashed by Argon2
- tries: how many wrong passwords are taken from one account and from one address
- accounts: people, with a role and a password
- sessions: who is logged in
- keys: programs, with a role and a key
- trail: the record
"""
