"""`softprompt up`: one parent that starts, watches and stops the processes of a studio. Loads no torch and no web."""
