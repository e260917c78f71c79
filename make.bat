@echo off
rem The commands of the book on Windows, where make is rarely installed.
where py >nul 2>nul && (py -3 "%~dp0tools\book.py" %* & exit /b)
where python >nul 2>nul && (python "%~dp0tools\book.py" %* & exit /b)
echo make: Python 3.11, 3.12 or 3.13 is needed: install one from the Microsoft Store 1>&2
exit /b 1
