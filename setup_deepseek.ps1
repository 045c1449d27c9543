<#
.SYNOPSIS
Starts PromptCraft on Windows: with DeepSeek when there is a key, with the mock provider when there is none.

.DESCRIPTION
Does what "make run" does elsewhere: finds Python 3.11 or newer, makes .venv, installs requirements.txt with its
hashes, migrates the database, makes the development user and serves on 127.0.0.1. Before that it asks for the
DeepSeek key, without showing it, and stores it in .env, which only the current user may then read. The key goes
nowhere else. When the environment has DEEPSEEK_API_KEY already, nothing is asked and nothing is stored.

Works in Windows PowerShell 5.1 and in PowerShell 7:

    powershell -ExecutionPolicy Bypass -File setup_deepseek.ps1

.PARAMETER NoServer
Stops before the server starts.
#>
[CmdletBinding()]
param(
    [switch] $NoServer
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$venvPython = Join-Path $PSScriptRoot '.venv\Scripts\python.exe'
$envFile = Join-Path $PSScriptRoot '.env'
$keyLine = '^\s*(export\s+)?DEEPSEEK_API_KEY\s*='
$versionTest = 'import sys; sys.exit(sys.version_info < (3, 11))'

function Test-Python([string[]] $Command) {
    # Windows PowerShell turns a word on stderr into a terminating error under 'Stop'.
    $ErrorActionPreference = 'Continue'
    if (-not (Get-Command $Command[0] -CommandType Application -ErrorAction SilentlyContinue)) { return $false }
    $options = @($Command | Select-Object -Skip 1)
    & $Command[0] @options -c $versionTest 2>$null | Out-Null
    return $LASTEXITCODE -eq 0
}

function Find-Python {
    foreach ($candidate in @('py -3', 'python', 'python3')) {
        $command = @($candidate -split ' ')
        if (Test-Python $command) { return $command }
    }
    throw 'Python 3.11 or newer was not found. Install it from python.org with "Add python.exe to PATH" and try again.'
}

function Initialize-Environment {
    if (-not ((Test-Path -LiteralPath $venvPython) -and (Test-Python @($venvPython)))) {
        $python = @(Find-Python)
        $options = @($python | Select-Object -Skip 1)
        Write-Host 'making .venv'
        & $python[0] @options -m venv --clear .venv
        if ($LASTEXITCODE -ne 0) { throw 'The virtual environment .venv could not be made; the lines above say why.' }
    }
    # The stamp carries the checksum of what was installed, so that a second start installs nothing.
    $checksum = (Get-FileHash -LiteralPath 'requirements.txt' -Algorithm SHA256).Hash.Substring(0, 16)
    $stamp = Join-Path '.venv' "runtime-$checksum"
    if (Test-Path -LiteralPath $stamp) { return }
    Write-Host 'installing requirements.txt into .venv'
    & $venvPython -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
    if ($LASTEXITCODE -ne 0) { throw 'The dependencies could not be installed; the lines above say why.' }
    Remove-Item -Path '.venv\runtime-*'
    New-Item -ItemType File -Path $stamp | Out-Null
}

function Get-EnvLine {
    if (-not (Test-Path -LiteralPath $envFile)) { return }
    $text = [System.IO.File]::ReadAllText($envFile).TrimEnd()
    if ($text) { $text -split '\r?\n' }
}

function Read-Key([string] $Prompt) {
    $secure = Read-Host -AsSecureString -Prompt $Prompt
    $pointer = [System.Runtime.InteropServices.Marshal]::SecureStringToBSTR($secure)
    try {
        return [System.Runtime.InteropServices.Marshal]::PtrToStringBSTR($pointer).Trim()
    }
    finally {
        [System.Runtime.InteropServices.Marshal]::ZeroFreeBSTR($pointer)
    }
}

function Protect-EnvFile {
    $user = [System.Security.Principal.WindowsIdentity]::GetCurrent().User.Value
    & icacls.exe $envFile /inheritance:r /grant:r "*${user}:F" | Out-Null
    if ($LASTEXITCODE -ne 0) { throw '.env could not be restricted to the current user, so no key was stored in it.' }
}

function Save-Key([string] $Key) {
    $lines = New-Object 'System.Collections.Generic.List[string]'
    $stored = $false
    foreach ($line in @(Get-EnvLine)) {
        if ($line -notmatch $keyLine) { $lines.Add($line) }
        elseif (-not $stored) { $lines.Add("DEEPSEEK_API_KEY=$Key"); $stored = $true }
    }
    if (-not $stored) { $lines.Add("DEEPSEEK_API_KEY=$Key") }
    if (-not (Test-Path -LiteralPath $envFile)) { New-Item -ItemType File -Path $envFile | Out-Null }
    # Restricted while the key is not in it yet.
    Protect-EnvFile
    $utf8 = New-Object System.Text.UTF8Encoding($false)
    [System.IO.File]::WriteAllText($envFile, ($lines -join "`n") + "`n", $utf8)
}

function Request-Key {
    if ($env:DEEPSEEK_API_KEY) {
        Write-Host 'using DEEPSEEK_API_KEY from the environment'
        return
    }
    $known = @(Get-EnvLine | Where-Object { $_ -match ($keyLine + '\s*\S') }).Count -gt 0
    $otherwise = if ($known) { 'keep the one in .env' } else { 'run with the mock provider' }
    $key = Read-Key "DeepSeek API key (not shown; Enter alone: $otherwise)"
    if (-not $key) { return }
    if ($key -notmatch '^[A-Za-z0-9._-]+$') {
        throw 'That is not a key: letters, digits, dots, dashes and underscores only. Nothing was stored.'
    }
    Save-Key $key
    Write-Host 'stored in .env; try it with: .venv\Scripts\python.exe test_deepseek_ai.py'
}

$exitCode = 0
$debugBefore = $env:DEBUG
Push-Location -LiteralPath $PSScriptRoot
try {
    if ($env:OS -ne 'Windows_NT') { throw 'This script is for Windows. Elsewhere: make run' }
    Initialize-Environment
    if (-not $env:DEBUG) { $env:DEBUG = '1' }
    if ($env:DEBUG -ne '0') {
        & $venvPython -m promptcraft.development_env
        if ($LASTEXITCODE -ne 0) { throw '.env could not be written; the lines above say why.' }
        Protect-EnvFile
    }
    Request-Key
    if (-not $NoServer) {
        & $venvPython manage.py serve --prepare
        $exitCode = $LASTEXITCODE
    }
}
catch {
    [Console]::Error.WriteLine("setup_deepseek: $($_.Exception.Message)")
    $exitCode = 1
}
finally {
    $env:DEBUG = $debugBefore
    Pop-Location
}
exit $exitCode
