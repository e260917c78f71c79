# Every command is in tools/book.py; `make help` lists them.
PYTHON ?= $(shell command -v python3 || command -v python)

.DEFAULT_GOAL := help
.PHONY: html test pdf lab chapter notebooks bench check times reproduce mutate links lock setup clean help

html test pdf lab chapter notebooks bench check times reproduce mutate links lock setup clean help:
	@test -n "$(PYTHON)" || { echo "make $@: Python 3.11, 3.12 or 3.13 is needed: install one" >&2; exit 1; }
	@"$(PYTHON)" tools/book.py $@ $(ARGS)
